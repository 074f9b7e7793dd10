// A locale that writes numbers unlike C's, for as long as a value of this type lives: for C++ and, where the machine
// has one, for C.
#pragma once

#include <clocale>
#include <locale>
#include <string>

namespace lpw::test {

class ForeignLocale {
 public:
  ForeignLocale()
      : c_(std::setlocale(LC_ALL, nullptr)),
        before_(std::locale::global(std::locale(std::locale::classic(), new Numbers))) {
    for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8"})
      if (std::setlocale(LC_ALL, name)) break;
  }
  ForeignLocale(const ForeignLocale&) = delete;
  ForeignLocale& operator=(const ForeignLocale&) = delete;
  ~ForeignLocale() {
    std::locale::global(before_);
    std::setlocale(LC_ALL, c_.c_str());
  }

 private:
  struct Numbers : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  std::string c_;
  std::locale before_;
};

}  // namespace lpw::test
