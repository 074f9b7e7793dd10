// Event files of TensorBoard: records (tf_record.hpp) of protocol buffers, tensorflow.Event, of which this writes
// scalars. Needs protozero's headers (libprotozero-dev), and is included by nothing but what writes such files.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <ios>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <protozero/pbf_writer.hpp>

#include <lpw/io/tf_record.hpp>

namespace lpw::inline LPW_ABI::io {

/// A value that TensorBoard draws over steps.
struct EventScalar {
  std::string tag;   // "train/loss": what stands before the slash groups them
  double value = 0;  // a float in the file
};

namespace detail {

// Numbers of fields, from TensorFlow's event.proto and summary.proto.
struct EventFields {
  static constexpr protozero::pbf_tag_type wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7;
  static constexpr protozero::pbf_tag_type summary_value = 1, value_tag = 1, simple_value = 2, session_status = 1;
  static constexpr std::int32_t session_start = 1;
};

[[nodiscard]] inline double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace detail

/// The event that begins a file.
[[nodiscard]] inline std::string version_event(double wall_time) {
  std::string bytes;
  protozero::pbf_writer event(bytes);
  event.add_double(detail::EventFields::wall_time, wall_time);
  event.add_string(detail::EventFields::file_version, "brain.Event:2");
  return bytes;
}

/// The event of a run that goes on with that step: what older files hold of it and of later ones is to be dropped.
[[nodiscard]] inline std::string restart_event(double wall_time, std::int64_t step) {
  std::string bytes;
  protozero::pbf_writer event(bytes);
  event.add_double(detail::EventFields::wall_time, wall_time);
  event.add_int64(detail::EventFields::step, step);
  protozero::pbf_writer session(event, detail::EventFields::session_log);
  session.add_enum(detail::EventFields::session_status, detail::EventFields::session_start);
  session.commit();
  return bytes;
}

/// The event with the values of a step.
[[nodiscard]] inline std::string scalar_event(double wall_time, std::int64_t step,
                                              const std::vector<EventScalar>& scalars) {
  std::string bytes;
  protozero::pbf_writer event(bytes);
  event.add_double(detail::EventFields::wall_time, wall_time);
  event.add_int64(detail::EventFields::step, step);
  protozero::pbf_writer summary(event, detail::EventFields::summary);
  for (const auto& [tag, number] : scalars) {
    protozero::pbf_writer value(summary, detail::EventFields::summary_value);
    value.add_string(detail::EventFields::value_tag, tag);
    value.add_float(detail::EventFields::simple_value, static_cast<float>(number));
  }
  summary.commit();
  return bytes;
}

/// An event file of its own in a run's folder, later in the order of names than those that are there.
class EventFile {
 public:
  /// Creates the file. Throws FileError where that fails.
  explicit EventFile(const std::filesystem::path& folder) : path_(new_name(folder)) {
    file_.open(path_, std::ios::binary | std::ios::out);
    write(version_event(detail::seconds_since_1970()));
    flush();
  }

  /// Of the file.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// The run goes on with that step: TensorBoard forgets what other files hold of it and of later ones.
  void restart(std::int64_t step) { write(restart_event(detail::seconds_since_1970(), step)); }
  /// Adds these values at a step, with the time of day; flush() says whether that failed.
  void add(std::int64_t step, const std::vector<EventScalar>& scalars) {
    write(scalar_event(detail::seconds_since_1970(), step, scalars));
  }
  /// Hands over to the system what was added. Throws FileError where that fails.
  void flush() {
    file_.flush();
    require<FileError>(file_.good(), path_.string(), ": cannot be written");
  }

 private:
  static std::filesystem::path new_name(const std::filesystem::path& folder) {
    std::int64_t number = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      number += entry.path().filename().string().starts_with("events.out.tfevents.");
    char name[64];
    do {
      std::snprintf(name, sizeof name, "events.out.tfevents.%06lld.lpw", static_cast<long long>(number++));
    } while (std::filesystem::exists(folder / name));
    return folder / name;
  }
  void write(const std::string& event) {
    const std::string record = tf_record(event);
    file_.write(record.data(), static_cast<std::streamsize>(record.size()));
  }

  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace lpw::inline LPW_ABI::io
