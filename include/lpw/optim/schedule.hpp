// Learning-rate schedules, and their texts: what options say and runs record.
//
//   curve ["/" curve]...            one after another; each but the last says how long it lasts: "curve@LENGTH"
//   "smooth:" ...                   a rate for each iteration where it would be one for each epoch
//   "iterations:" ...               lengths and milestones are in iterations, not in epochs
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lpw/optim/schedules/pieces.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/parse_double.hpp>
#include <lpw/tensor/text.hpp>

namespace lpw::inline LPW_ABI::optim {

/// The largest learning rate that options can ask for: beyond it there is no training, only overflow.
inline constexpr double max_learning_rate = 1e12;

namespace detail {

inline constexpr const char* schedule_forms =
    "expected constant, cosine, cosine:EPOCHS, anneal, anneal:START:END:FINAL, steps:a,b,...:gamma, "
    "cosine-cycles:LENGTH, cosine-cycles:LENGTH:FINAL, triangular-cycles:LENGTH:FIRST:LOWEST, one-cycle, "
    "one-cycle:LENGTH:RISE:FIRST:FINAL, one-cycle:LENGTH:RISE:FIRST:FINAL:linear, warmup:LENGTH or "
    "warmup:LENGTH:FIRST; several as CURVE@LENGTH/CURVE, with smooth: or iterations: before them";

/// The forms of the curve of a name; all where there is none of that name.
[[nodiscard]] inline const char* forms_of(std::string_view curve) {
  constexpr std::pair<std::string_view, const char*> forms[] = {
      {"constant", "expected constant"},
      {"cosine", "expected cosine or cosine:EPOCHS"},
      {"anneal", "expected anneal or anneal:START:END:FINAL"},
      {"steps", "expected steps:a,b,...:gamma"},
      {"cosine-cycles", "expected cosine-cycles:LENGTH or cosine-cycles:LENGTH:FINAL"},
      {"triangular-cycles", "expected triangular-cycles:LENGTH:FIRST:LOWEST"},
      {"one-cycle",
       "expected one-cycle, one-cycle:LENGTH:RISE:FIRST:FINAL or one-cycle:LENGTH:RISE:FIRST:FINAL:linear"},
      {"warmup", "expected warmup:LENGTH or warmup:LENGTH:FIRST"}};
  for (const auto& [name, form] : forms)
    if (name == curve) return form;
  return schedule_forms;
}

/// A text's prefix, and the curves after it.
struct ScheduleText {
  std::string_view prefix;
  std::vector<std::string_view> pieces;
  [[nodiscard]] bool iterations() const { return prefix == "iterations:"; }
};
[[nodiscard]] inline ScheduleText split_schedule(std::string_view text) {
  std::string_view prefix;
  for (const std::string_view known : {"smooth:", "iterations:"})
    if (text.starts_with(known)) prefix = text.substr(0, known.size());
  return {prefix, split_text(text.substr(prefix.size()), '/')};
}

/// A piece's curve, and the length behind its @, if any.
struct PieceText {
  std::string_view curve;
  std::optional<std::string_view> length;
};
[[nodiscard]] inline PieceText split_piece(std::string_view piece) {
  const auto at = piece.rfind('@');
  if (at == std::string_view::npos) return {piece, {}};
  return {piece.substr(0, at), piece.substr(at + 1)};
}

/// Reads the curves of one schedule, whose text, as it was given, is in every message.
class ScheduleReader {
 public:
  ScheduleReader(std::string_view given, double learning_rate) : given_(given), rate_(learning_rate) {}

  /// From the text with everything written out.
  [[nodiscard]] Schedule read(std::string_view expanded) {
    const ScheduleText parts = split_schedule(expanded);
    std::vector<SchedulePiece> pieces;
    for (std::size_t i = 0; i < parts.pieces.size(); ++i) {
      pieces.push_back(piece(split_piece(parts.pieces[i]), i + 1 == parts.pieces.size()));
      pieces.back().each_iteration = pieces.back().each_iteration || !parts.prefix.empty();
    }
    return Schedule(std::move(pieces), parts.iterations() ? ScheduleUnit::iterations : ScheduleUnit::epochs);
  }

 private:
  template <class... Parts>
  void expect(bool condition, const Parts&... parts) const {
    require<OptionError>(condition, "schedule \"", given_, "\": ", parts...);
  }
  [[nodiscard]] double number(std::string_view text) const {
    const auto value = parse_double(text);
    expect(value && is_finite(*value), '"', text, "\" is not a number; ", forms_);
    return *value;
  }
  [[nodiscard]] double length(std::string_view text) const {
    const double value = number(text);
    expect(value > 0, "length ", text, "; expected more than 0");
    return value;
  }
  /// A rate as a factor of the initial one. A rate of zero can stay what it is, and become nothing else.
  [[nodiscard]] double factor_of(std::string_view text) const {
    const double rate = number(text);
    const bool frozen = rate_ == 0 && rate == 0;
    expect(rate >= 0 && rate <= max_learning_rate && (rate_ > 0 || frozen), "rate ", text, "; expected one from 0 to ",
           max_learning_rate, ", and a positive learning rate");
    return frozen ? 1 : rate / rate_;
  }

  [[nodiscard]] SchedulePiece piece(const PieceText& piece, bool last) {
    const auto parts = split_text(piece.curve, ':');
    forms_ = forms_of(parts[0]);
    SchedulePiece result = curve(parts);
    if (const auto* warmup = std::get_if<LinearWarmup>(&result.curve)) {
      expect(!piece.length, "a warmup lasts for its own length; leave @", piece.length.value_or(""), " out");
      if (!last) result.length = warmup->length;
    } else if (last) {
      expect(!piece.length, "the last curve goes on to the end; leave @", piece.length.value_or(""), " out");
    } else {
      expect(piece.length.has_value(), '"', piece.curve, "\" is followed by another curve; say when, by ", piece.curve,
             "@LENGTH");
      forms_ = "expected CURVE@LENGTH/CURVE";
      result.length = length(*piece.length);
    }
    return result;
  }

  [[nodiscard]] SchedulePiece curve(const std::vector<std::string_view>& parts) const {
    const std::string_view name = parts[0];
    const std::size_t count = parts.size();
    if (name == "constant" && count == 1) return made(Constant{});
    if (name == "cosine" && count == 2) return made(cosine(parts));
    if (name == "anneal" && count == 4) return made(anneal(parts));
    if (name == "steps" && count == 3) return made(steps(parts));
    if (name == "cosine-cycles" && (count == 2 || count == 3))
      return made(CosineCycles{length(parts[1]), count == 3 ? factor_of(parts[2]) : 0});
    if (name == "triangular-cycles" && count == 4)
      return made(TriangularCycles{length(parts[1]), factor_of(parts[2]), factor_of(parts[3])});
    if (name == "one-cycle" && (count == 5 || count == 6)) return made(one_cycle(parts));
    if (name == "warmup" && (count == 2 || count == 3))
      return made(LinearWarmup{length(parts[1]), count == 3 ? factor_of(parts[2]) : 0});
    const bool whole = (name == "cosine" || name == "anneal" || name == "one-cycle") && count == 1;
    expect(!whole, '"', name, "\" alone lasts for all epochs; write its lengths out in iterations");
    expect(forms_ != schedule_forms, "there is no curve \"", name, "\"; ", forms_);
    fail<OptionError>("schedule \"", given_, "\": ", forms_);
  }
  template <class C>
  [[nodiscard]] static SchedulePiece made(C curve) {
    return {std::move(curve), Schedule::by_iteration<C>()};
  }

  [[nodiscard]] Cosine cosine(const std::vector<std::string_view>& parts) const {
    const Cosine cosine{number(parts[1])};
    expect(cosine.epochs > 0, "expected a positive number of epochs");
    return cosine;
  }

  [[nodiscard]] LinearAnneal anneal(const std::vector<std::string_view>& parts) const {
    const double start = number(parts[1]), end = number(parts[2]), rate = number(parts[3]);
    const bool frozen = rate_ == 0 && rate == 0;
    expect(start >= 0 && end > start && rate >= 0 && rate <= max_learning_rate && (rate_ > 0 || frozen),
           "expected 0 <= START < END, FINAL from 0 to ", max_learning_rate, " and a positive learning rate");
    return {start, end, frozen ? 1 : rate / rate_};
  }

  [[nodiscard]] MultiStep steps(const std::vector<std::string_view>& parts) const {
    MultiStep steps{{}, number(parts[2])};
    for (const auto part : split_text(parts[1], ',')) {
      const double milestone = number(part);
      expect(milestone >= 0, "milestone ", part, " is negative");
      expect(std::find(steps.milestones.begin(), steps.milestones.end(), milestone) == steps.milestones.end(),
             "milestone ", part, " is there twice");
      steps.milestones.push_back(milestone);
    }
    expect(steps.gamma >= 0, "gamma is negative");
    const double last = rate_ * steps(*std::max_element(steps.milestones.begin(), steps.milestones.end()));
    expect(last <= max_learning_rate, "leads to a learning rate of ", last, "; expected at most ", max_learning_rate);
    return steps;
  }

  [[nodiscard]] OneCycle one_cycle(const std::vector<std::string_view>& parts) const {
    const OneCycle cycle{length(parts[1]), number(parts[2]), factor_of(parts[3]), factor_of(parts[4]),
                         parts.size() == 6};
    expect(parts.size() == 5 || parts[5] == "linear", '"', parts.back(), "\" is no form of one-cycle; expected linear");
    expect(cycle.rise >= 0 && cycle.rise <= cycle.length, "RISE ", parts[2], " is not between 0 and LENGTH ", parts[1]);
    return cycle;
  }

  std::string_view given_;
  double rate_;
  const char* forms_ = schedule_forms;  // of the curve that is read
};

/// A curve's text with what follows from the number of epochs that it lasts for.
[[nodiscard]] inline std::string expand_curve(std::string_view text, double learning_rate, double epochs) {
  if (text == "cosine") return "cosine:" + shortest(std::max(epochs, 1.0));
  if (text == "anneal")
    return "anneal:" + shortest(0.5 * epochs) + ':' + shortest(0.9 * epochs) + ':' + shortest(0.01 * learning_rate);
  if (text == "one-cycle")
    return "one-cycle:" + shortest(std::max(epochs, 1.0)) + ':' + shortest(0.3 * std::max(epochs, 1.0)) + ':' +
           shortest(learning_rate / 25) + ':' + shortest(learning_rate / 25e4);
  return std::string(text);
}

/// How long a piece lasts, if it says so in a number.
[[nodiscard]] inline std::optional<double> stated_length(const PieceText& piece) {
  const auto parts = split_text(piece.curve, ':');
  if (parts[0] == "warmup" && parts.size() > 1) return parse_double(parts[1]);
  return piece.length ? parse_double(*piece.length) : std::nullopt;
}

}  // namespace detail

/// A schedule's text with everything in it that depends on the number of epochs written out, for each curve by the
/// epochs that it has: "cosine" becomes "cosine:EPOCHS", "anneal" becomes "anneal:START:END:FINAL" with START half of
/// the epochs, END nine tenths and FINAL a hundredth of the rate, as in the method's CIFAR runs, and "one-cycle"
/// becomes "one-cycle:EPOCHS:RISE:FIRST:FINAL" with PyTorch's three tenths of the epochs, 1/25 and 1/25e4 of the rate.
/// Others are returned as they are, and so are schedules in iterations.
[[nodiscard]] inline std::string expand_schedule(std::string_view text, double learning_rate, double epochs) {
  const detail::ScheduleText parts = detail::split_schedule(text);
  if (parts.iterations()) return std::string(text);
  std::string result(parts.prefix);
  double left = epochs;
  for (std::size_t i = 0; i < parts.pieces.size(); ++i) {
    const detail::PieceText piece = detail::split_piece(parts.pieces[i]);
    const auto stated = detail::stated_length(piece);
    result += (i > 0 ? "/" : "") + detail::expand_curve(piece.curve, learning_rate, stated.value_or(left));
    if (piece.length) result += '@' + std::string(*piece.length);
    left -= stated.value_or(0);
  }
  return result;
}

/// Reads a schedule: curves as in the forms that errors list, or as expand_schedule writes them out. Lengths are in
/// epochs, or in iterations after "iterations:"; FIRST, LOWEST and FINAL are rates, which are divided by
/// `learning_rate`. Throws OptionError naming what is wrong.
[[nodiscard]] inline Schedule parse_schedule(std::string_view given, double learning_rate, double epochs) {
  return detail::ScheduleReader(given, learning_rate).read(expand_schedule(given, learning_rate, epochs));
}

}  // namespace lpw::inline LPW_ABI::optim
