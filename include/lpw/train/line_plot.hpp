// Curves as an SVG picture, to be seen in any browser without further programs.
#pragma once

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <lpw/tensor/float_bits.hpp>
#include <lpw/tensor/text.hpp>

namespace lpw::inline LPW_ABI::train {

/// A curve and what it is called.
struct Curve {
  std::string name;                                    // in the legend
  std::vector<std::pair<double, double>> points = {};  // x and y
};

namespace detail {

/// Where a plot's points lie in its picture: x over [0, 1], y over what the curves span.
class PlotFrame {
 public:
  explicit PlotFrame(const std::vector<Curve>& curves) {
    low_ = std::numeric_limits<double>::max(), high_ = std::numeric_limits<double>::lowest();
    for (const Curve& curve : curves)
      for (const auto& [x, y] : curve.points)
        if (is_finite(y)) low_ = std::min(low_, y), high_ = std::max(high_, y);
    if (low_ > high_) low_ = 0, high_ = 1;
    if (low_ == high_) high_ = low_ + 1;
  }
  [[nodiscard]] static std::string at_x(double x) { return fixed(left + x * (width - left - right), 2); }
  [[nodiscard]] std::string at_y(double y) const {
    return fixed(top + (high_ - y) / (high_ - low_) * (height - top - bottom), 2);
  }
  /// The value in this part of the height.
  [[nodiscard]] double value(double part) const { return low_ + part * (high_ - low_); }

 private:
  static constexpr double width = 720, height = 440, left = 70, right = 20, top = 40, bottom = 110;
  double low_, high_;
};

/// Horizontal lines with the values at them, and places below.
[[nodiscard]] inline std::string axes(const PlotFrame& frame) {
  constexpr int ticks = 4;
  std::string svg;
  for (int i = 0; i <= ticks; ++i) {
    const double x = static_cast<double>(i) / ticks, y = frame.value(x);
    svg += to_text("<path d=\"M", frame.at_x(0), ' ', frame.at_y(y), "H", frame.at_x(1),
                   "\" stroke=\"#ddd\"/>\n<text x=\"62\" y=\"", frame.at_y(y), "\" text-anchor=\"end\">",
                   significant(y, 4), "</text>\n<text x=\"", frame.at_x(x), "\" y=\"348\" text-anchor=\"middle\">",
                   fixed(x, 2), "</text>\n");
  }
  return svg;
}

/// A curve and its name in the legend, the `number`th there.
[[nodiscard]] inline std::string curve_and_name(const PlotFrame& frame, const Curve& curve, std::size_t number) {
  static const std::vector<std::string> colours{"#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b"};
  const std::string& colour = colours[number % colours.size()];
  std::string points;
  for (const auto& [x, y] : curve.points)
    if (is_finite(y)) points += to_text(points.empty() ? "" : " ", frame.at_x(x), ',', frame.at_y(y));
  const int x = number % 2 == 0 ? 70 : 400, y = 376 + 20 * static_cast<int>(number / 2);
  return to_text("<polyline points=\"", points, "\" fill=\"none\" stroke=\"", colour,
                 "\" stroke-width=\"2\"/>\n<text x=\"", x, "\" y=\"", y, "\" fill=\"", colour, "\">", curve.name,
                 "</text>\n");
}

}  // namespace detail

/// Curves over [0, 1] as a picture; points that are not finite are left out. Names are of letters that need no escape.
[[nodiscard]] inline std::string line_plot(const std::string& title, const std::vector<Curve>& curves) {
  const detail::PlotFrame frame(curves);
  std::string svg =
      to_text("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 440\" ",
              "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"720\" height=\"440\" ",
              "fill=\"white\"/>\n<text x=\"70\" y=\"24\" font-size=\"14\">", title, "</text>\n", detail::axes(frame));
  for (std::size_t i = 0; i < curves.size(); ++i) svg += detail::curve_and_name(frame, curves[i], i);
  return svg + "</svg>\n";
}

}  // namespace lpw::inline LPW_ABI::train
