#include <lpw/data/text.hpp>

#include <limits>
#include <string>

#include "catch.hpp"
#include "support/errors.hpp"
#include "support/fuzz.hpp"

using namespace lpw;
using namespace lpw::test;
using namespace lpw::data;

namespace {

Text counting(std::int64_t size) {
  Text text;
  for (std::int64_t i = 0; i < size; ++i) text.push_back(static_cast<std::uint8_t>(i % 251));
  return text;
}

/// All bytes that a member's stream b is given, and those it is to predict.
struct Read {
  Text inputs, targets;
};

Read read(TextLoader<Cpu>& loader, const ReadMembers& members, std::int64_t batch, std::int64_t k, std::int64_t b,
          std::int64_t first = 0) {
  Read result;
  for (auto& [inputs, targets] : loader.epoch(members, batch, first))
    for (std::int64_t t = 0; t < inputs.dim(1); ++t) {
      const std::int64_t at = (k * inputs.dim(1) + t) * inputs.dim(2) + b;
      result.inputs.push_back(static_cast<std::uint8_t>(inputs.data()[at]));
      result.targets.push_back(static_cast<std::uint8_t>(targets.data()[at]));
    }
  return result;
}

}  // namespace

TEST_CASE("a text of enwik8's size is split at 90 and 95 million bytes") {
  const TextParts parts = split_text(Text(100'000'000), {});
  CHECK(parts.train.size() == 90'000'000);
  CHECK(parts.valid.size() == 5'000'000);
  CHECK(parts.test.size() == 5'000'000);
}

TEST_CASE("the training part of a text keeps its memory") {
  Text text(1000, 'a');
  text[899] = 'b';
  const auto* memory = text.data();
  const TextParts parts = split_text(std::move(text), {});
  CHECK(parts.train.data() == memory);
  CHECK(parts.train.size() == 900);
  CHECK(parts.train.back() == 'b');
}

TEST_CASE("the parts of a text are its bytes in order") {
  const Text text = counting(1009);
  for (const TextShares& shares : {TextShares{}, TextShares{80, 10, 10}, TextShares{99.5, 0.25, 0.25},
                                   TextShares{100, 0, 0}, TextShares{95, 5, 0}}) {
    const TextParts parts = split_text(text, shares);
    Text joined = parts.train;
    joined.insert(joined.end(), parts.valid.begin(), parts.valid.end());
    joined.insert(joined.end(), parts.test.begin(), parts.test.end());
    CHECK(joined == text);
    CHECK(parts.train.size() == static_cast<std::size_t>(1009 * shares.train / 100));
    CHECK((parts.test.empty()) == (shares.test == 0));
  }
  for (const TextShares& shares : {TextShares{90, 5, 4}, TextShares{110, -5, -5}, TextShares{NAN, 5, 5}})
    CHECK(contains(message_of<OptionError>([&] { (void)split_text(text, shares); }), "sum to 100"));
}

TEST_CASE("every stream reads its own part of the text, one byte ahead of what it predicts") {
  const Text text = counting(1000);
  TextLoader<Cpu> loader(text, 7);
  const std::int64_t members = 3, batch = 4,
                     length = 1000 / 12;  // 83, of which 82 are predicted: 11 windows of 7 and one of 5
  REQUIRE(loader.windows(12) == 12);
  REQUIRE(loader.length(12) == length - 1);
  for (std::int64_t k = 0; k < members; ++k)
    for (std::int64_t b = 0; b < batch; ++b) {
      const auto first = text.begin() + (k * batch + b) * length;
      const Read found = read(loader, members, batch, k, b);
      CHECK(found.inputs == Text(first, first + length - 1));
      CHECK(found.targets == Text(first + 1, first + length));
    }
}

TEST_CASE("streams that are scored together predict every byte once, each with a past") {
  const std::int64_t past = 5;
  for (const std::int64_t size : {2, 4, 6, 7, 40, 99, 100, 101})
    for (const std::int64_t streams : {1, 2, 3, 8}) {
      INFO(size << " bytes, " << streams << " streams");
      const Text text = counting(size);
      const ScoredStreams scored = scored_streams(text, streams, past);
      TextLoader<Cpu> loader(scored.text, 3);
      REQUIRE(std::ssize(scored.first) == streams);
      CHECK(scored.first.front() == 0);
      Text predicted(text.begin(), text.begin() + 1);
      for (std::int64_t b = 0; b < streams; ++b) {
        const Read found = read(loader, 1, streams, 0, b);
        const std::int64_t first = scored.first[static_cast<std::size_t>(b)];
        CHECK((b == 0 || first >= std::min(past, size - 1)));
        REQUIRE(first <= std::ssize(found.targets));
        CHECK(std::equal(found.inputs.begin() + 1, found.inputs.end(), found.targets.begin()));
        predicted.insert(predicted.end(), found.targets.begin() + first, found.targets.end());
      }
      CHECK(predicted == text);
      CHECK(loader.length(streams) <= past + (size - 1) / streams + 1);
    }
}

TEST_CASE("an epoch goes on from any window with the same batches") {
  const Text text = counting(500);
  TextLoader<Cpu> loader(text, 10);
  const Read whole = read(loader, 2, 3, 1, 2), rest = read(loader, 2, 3, 1, 2, 4);
  CHECK(rest.inputs == Text(whole.inputs.begin() + 40, whole.inputs.end()));
  CHECK(read(loader, 2, 3, 1, 2, loader.windows(6)).inputs.empty());
}

TEST_CASE("some members' windows, and a part of one's streams, are what they are among all") {
  const Text text = counting(700);
  for (const MemberData data : {MemberData::own, MemberData::same, MemberData::whole}) {
    TextLoader<Cpu> loader(text, 10, data);
    CAPTURE(static_cast<int>(data));
    for (std::int64_t k = 0; k < 2; ++k)
      for (std::int64_t b = 0; b < 3; ++b) {
        const Read some = read(loader, ReadMembers(5, 2, 2), 3, k, b), all = read(loader, 5, 3, 2 + k, b);
        CHECK((some.inputs == all.inputs && some.targets == all.targets));
      }
    for (std::int64_t part = 0, before = 0; part < 3; ++part) {
      const ReadMembers here = ReadMembers::part_of_one(part, 3);
      const std::int64_t streams = here.samples_of(7).first;
      for (std::int64_t b = 0; b < streams; ++b)
        CHECK(read(loader, here, 7, 0, b).inputs == read(loader, 1, 7, 0, before + b).inputs);
      before += streams;
      CHECK(read(loader, here, 2, 0, 1).inputs == read(loader, 1, 2, 0, 1).inputs);  // fewer than parts: all
    }
  }
}

TEST_CASE("batches stay where they are, whatever their shape") {
  const Text text = counting(500);
  TextLoader<Cpu> loader(text, 10);
  std::vector<const void*> places;
  std::vector<std::int64_t> steps;
  for (int epoch = 0; epoch < 2; ++epoch)
    for (auto& batch : loader.epoch(2, 3)) {
      places.insert(places.end(), {batch.inputs.data(), batch.targets.data()});
      steps.push_back(batch.inputs.dim(1));
    }
  for (std::size_t i = 2; i < places.size(); ++i) CHECK(places[i] == places[i - 2]);
  CHECK(steps.front() == 10);
  CHECK(steps.back() == 2);
}

TEST_CASE("a text that is too short for its streams is refused") {
  const Text text = counting(7);
  TextLoader<Cpu> loader(text, 10);
  CHECK_NOTHROW(loader.epoch(1, 3));
  CHECK(contains(message_of<OptionError>([&] { (void)loader.epoch(2, 2); }), "7 bytes are too few for 2 x 2 streams"));
  CHECK_THROWS_AS(TextLoader<Cpu>(text, 0), OptionError);
}

TEST_CASE("fuzz: texts of any size are cut and read whole, or refused") {
  Fuzz random(5);
  std::int64_t taken = 0, refused = 0;
  for (std::int64_t left = fuzz_inputs(2000); left > 0; --left) {
    const Text text = counting(static_cast<std::int64_t>(random.below(300)));
    const double train =
        random.one_of({0.0, 33.3, 50.0, 90.0, 100.0, -1.0, 1e308, std::numeric_limits<double>::quiet_NaN()});
    const double valid = random.one_of({0.0, 5.0, 66.7, 100 - train, std::numeric_limits<double>::infinity()});
    try {
      const auto parts = split_text(text, {train, valid, random.once_in(4) ? 5.0 : 100 - train - valid});
      if (parts.train.size() + parts.valid.size() + parts.test.size() != text.size()) FAIL("bytes are lost");
      TextLoader<Cpu> loader(parts.train, random.one_of<std::int64_t>({-1, 0, 1, 2, 7, 100, 1'000'000'000'000}));
      const auto members = static_cast<std::int64_t>(1 + random.below(4)),
                 batch = static_cast<std::int64_t>(1 + random.below(40));
      std::int64_t characters = 0;
      for (const auto& [inputs, targets] : loader.epoch(members, batch, 0)) {
        for (std::int64_t i = 0; i < inputs.size(); ++i)
          if ((inputs.data()[i] + 1) % 251 != targets.data()[i]) FAIL("a target is not the next byte");
        characters += inputs.size();
      }
      if (characters > std::ssize(parts.train)) FAIL("more is read than there is");
      ++taken;
    } catch (const OptionError&) {
      ++refused;
    }
  }
  CHECK(refused > 0);
  if (taken + refused >= 1000) CHECK(taken > 0);
}

TEST_CASE("members read the same parts of a text, or all of it each from a place of its own, over its end") {
  const Text text = counting(1003);
  TextLoader<Cpu> same(text, 7, MemberData::same), whole(text, 7, MemberData::whole);
  const std::int64_t members = 3, batch = 4, part = 250;  // the last three bytes begin no part
  CHECK(whole.streams(members, batch) == batch);
  for (std::int64_t k = 0; k < members; ++k) {
    Text turned = text;
    std::rotate(turned.begin(), turned.begin() + k * (part / members), turned.end());
    for (std::int64_t b = 0; b < batch; ++b) {
      const auto expected = [&](const Text& from, std::int64_t first) {
        return Text(from.begin() + first, from.begin() + first + part - 1);
      };
      const Read alike = read(same, members, batch, k, b), own = read(whole, members, batch, k, b);
      CHECK(alike.inputs == expected(text, b * part));
      CHECK(alike.targets == expected(text, b * part + 1));
      CHECK(own.inputs == expected(turned, b * part));
      CHECK(own.targets == expected(turned, b * part + 1));
      const Read rest = read(whole, members, batch, k, b, 3);
      CHECK(rest.inputs == Text(own.inputs.begin() + 21, own.inputs.end()));
    }
  }
}
