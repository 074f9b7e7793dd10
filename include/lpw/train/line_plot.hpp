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
  std::string name;
  std::vector<std::pair<double, double>> points = {};
};

/// Curves over [0, 1] as a picture; points that are not finite are left out. Names are of letters that need no escape.
[[nodiscard]] inline std::string line_plot(const std::string& title, const std::vector<Curve>& curves) {
  constexpr double width = 720, height = 440, left = 70, right = 20, top = 40, bottom = 110;
  static const std::vector<std::string> colours{"#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b"};
  double low = std::numeric_limits<double>::max(), high = std::numeric_limits<double>::lowest();
  for (const Curve& curve : curves)
    for (const auto& [x, y] : curve.points)
      if (is_finite(y)) low = std::min(low, y), high = std::max(high, y);
  if (low > high) low = 0, high = 1;
  if (low == high) high = low + 1;
  const auto at_x = [&](double x) { return fixed(left + x * (width - left - right), 2); };
  const auto at_y = [&](double y) { return fixed(top + (high - y) / (high - low) * (height - top - bottom), 2); };
  std::string svg = to_text("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 440\" ",
                            "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"720\" height=\"440\" ",
                            "fill=\"white\"/>\n<text x=\"70\" y=\"24\" font-size=\"14\">", title, "</text>\n");
  constexpr int ticks = 4;
  for (int i = 0; i <= ticks; ++i) {
    const double x = static_cast<double>(i) / ticks, y = low + x * (high - low);
    svg += to_text("<path d=\"M", at_x(0), ' ', at_y(y), "H", at_x(1), "\" stroke=\"#ddd\"/>\n<text x=\"62\" y=\"",
                   at_y(y), "\" text-anchor=\"end\">", significant(y, 4), "</text>\n<text x=\"", at_x(x),
                   "\" y=\"348\" text-anchor=\"middle\">", fixed(x, 2), "</text>\n");
  }
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const std::string& colour = colours[i % colours.size()];
    std::string points;
    for (const auto& [x, y] : curves[i].points)
      if (is_finite(y)) points += to_text(points.empty() ? "" : " ", at_x(x), ',', at_y(y));
    const int x = i % 2 == 0 ? 70 : 400, y = 376 + 20 * static_cast<int>(i / 2);
    svg += to_text("<polyline points=\"", points, "\" fill=\"none\" stroke=\"", colour, "\" stroke-width=\"2\"/>\n",
                   "<text x=\"", x, "\" y=\"", y, "\" fill=\"", colour, "\">", curves[i].name, "</text>\n");
  }
  return svg + "</svg>\n";
}

}  // namespace lpw::inline LPW_ABI::train
