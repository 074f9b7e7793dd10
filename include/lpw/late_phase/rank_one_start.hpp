// What rank-1 factors are when release attaches them: the method's ones, or what BatchEnsemble starts its members from
// (Wen et al. 2020).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <lpw/nn/parameter.hpp>
#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/parse_double.hpp>

namespace lpw::inline LPW_ABI {

/// How rank-1 factors start.
struct RankOneStart {
  /// Which numbers they are.
  enum class Kind {
    ones,   // every member computes what the network did, but for release noise
    signs,  // +1 or -1, each with probability 1/2
    normal  // normal around 1
  };
  Kind kind = Kind::ones;  // which numbers they are
  double deviation = 0.5;  // of `normal`

  /// "ones", "signs", "normal" or "normal:DEVIATION". Throws OptionError for another text.
  [[nodiscard]] static RankOneStart parse(std::string_view text) {
    if (text == "ones") return {};
    if (text == "signs") return {Kind::signs};
    if (text == "normal") return {Kind::normal};
    const std::string_view normal = "normal:";
    const auto deviation =
        text.starts_with(normal) ? parse_double(text.substr(normal.size())) : std::optional<double>();
    require<OptionError>(deviation && is_finite(*deviation) && *deviation >= 0, "start of rank-1 factors: \"", text,
                         "\"; expected ones, signs, normal, or normal:DEVIATION with a number of at least 0");
    return {Kind::normal, *deviation};
  }
  /// As parse reads it.
  [[nodiscard]] std::string text() const {
    if (kind == Kind::normal) return "normal:" + shortest(deviation);
    return kind == Kind::ones ? "ones" : "signs";
  }
};

namespace detail {

/// Gives the rows [K, ...] of a factor their start. A draw depends on the random stream, the member and the element
/// only, and is made on the host: the same bits on every device.
template <class W, class D>
void start_factor(nn::Parameter<W, D>& factor, const RankOneStart& start, const Philox& random) {
  Tensor<W, Cpu> rows(factor.value().shape());
  for (std::int64_t i = 0; i < rows.size(); ++i) {
    const auto index = static_cast<std::uint64_t>(i);
    const double value = start.kind == RankOneStart::Kind::signs ? (random(index)[0] >> 31 == 0 ? 1 : -1)
                                                                 : 1 + start.deviation * random.normal(index);
    rows.data()[i] = static_cast<W>(value);
  }
  copy(to_device<D>(rows), factor.value());
}

}  // namespace detail
}  // namespace lpw::inline LPW_ABI
