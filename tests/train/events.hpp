// Reads TensorBoard's event files of a run folder back.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <lpw/io/event_file.hpp>
#include <lpw/io/file.hpp>

#include <protozero/pbf_reader.hpp>

#include "support/files.hpp"

namespace lpw::test {

/// Tag, step and value of each scalar in a file, in its order, and the steps from which on it takes others back.
struct Events {
  std::map<std::string, std::map<std::int64_t, float>> scalars;
  std::vector<std::int64_t> restarts;
};
inline void read_events(const std::filesystem::path& file, Events& events) {
  for (const std::string& record : io::read_tf_records(text_of(io::read_file(file)), file.string())) {
    protozero::pbf_reader event(record);
    std::int64_t step = 0;
    while (event.next()) {
      if (event.tag() == 2)
        step = event.get_int64();
      else if (event.tag() == 7) {
        event.skip();
        events.restarts.push_back(step);
        for (auto& [tag, values] : events.scalars) values.erase(values.lower_bound(step), values.end());
      } else if (event.tag() == 5) {
        protozero::pbf_reader summary = event.get_message();
        while (summary.next(1)) {
          protozero::pbf_reader value = summary.get_message();
          std::string tag;
          while (value.next()) {
            if (value.tag() == 1)
              tag = value.get_string();
            else if (value.tag() == 2)
              events.scalars[tag][step] = value.get_float();
            else
              value.skip();
          }
        }
      } else
        event.skip();
    }
  }
}
[[nodiscard]] inline Events events_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  Events events;
  for (const auto& file : files) read_events(file, events);
  return events;
}

}  // namespace lpw::test
