// Arrays in NumPy's .npy files, of which parts are read: the published sets of corrupted images are 150 MB a file. The
// format: "\x93NUMPY", a version of two bytes, the length of the header in two bytes or from version 2 in four, the
// header, which is a dictionary of Python with the element type, the order and the shape, and the elements.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lpw/io/file.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::io {

/// What a file's header says. Integers alone, in C order.
struct NpyHeader {
  std::vector<std::int64_t> shape;  // of the array
  std::int64_t item = 1;            // bytes of an element
  bool has_sign = false;            // of two's complement
  std::int64_t elements = 1;        // the product of the shape

  /// "[50000, 32, 32, 3] of 8-bit integers"
  [[nodiscard]] std::string describe() const {
    std::string text;
    for (const std::int64_t extent : shape) text += to_text(text.empty() ? "" : ", ", extent);
    return to_text('[', text, "] of ", has_sign ? "signed " : "unsigned ", 8 * item, "-bit integers");
  }
};

namespace detail {

/// Reads the header's dictionary. Every failure throws FileError with `source` and how to make the file anew.
class NpyDictionary {
 public:
  NpyDictionary(std::string_view text, const std::string& source) : rest_(text), source_(source) {}

  [[nodiscard]] NpyHeader read() {
    NpyHeader header;
    std::string_view type;
    bool order = false, shape = false;
    expect("{");
    while (!take("}")) {
      const auto key = string();
      expect(":");
      if (key == "descr" && type.empty()) {
        type = string();
      } else if (key == "fortran_order" && !order) {
        require<FileError>(!take("True"), source_, ": is in Fortran's order; save it with numpy.ascontiguousarray");
        expect("False");
        order = true;
      } else if (key == "shape" && !shape) {
        header.shape = extents();
        shape = true;
      } else {
        refuse(to_text("it has an entry '", key, "' too many"));
      }
      if (take("}")) break;
      expect(",");
    }
    if (!blank()) refuse("something follows its dictionary");
    if (type.empty() || !order || !shape) refuse("it lacks descr, fortran_order or shape");
    set_type(header, type);
    count(header);
    return header;
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    fail<FileError>(source_, ": damaged header: ", why, "; save the array again with numpy.save");
  }
  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\n"), rest_.size())); }
  [[nodiscard]] bool blank() {
    skip_blanks();
    return rest_.empty();
  }
  [[nodiscard]] bool take(std::string_view token) {
    skip_blanks();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void expect(std::string_view token) {
    if (!take(token)) refuse(to_text("expected ", token));
  }
  [[nodiscard]] std::string_view string() {
    skip_blanks();
    const char quote = rest_.empty() ? '\0' : rest_.front();
    const auto end = quote == '\'' || quote == '"' ? rest_.find(quote, 1) : rest_.npos;
    if (end == rest_.npos) refuse("expected a text in quotes; arrays of records are not read");
    const auto text = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return text;
  }
  [[nodiscard]] std::vector<std::int64_t> extents() {
    std::vector<std::int64_t> result;
    expect("(");
    while (!take(")")) {
      skip_blanks();
      std::int64_t extent = -1;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), extent);
      if (error != std::errc() || extent < 0) refuse("its shape is not a tuple of whole numbers");
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      result.push_back(extent);
      if (take(")")) break;
      expect(",");
    }
    return result;
  }
  void set_type(NpyHeader& header, std::string_view type) const {
    static constexpr std::array<std::string_view, 10> known{"|u1", "|i1", "<u1", "<i1", "<u2",
                                                            "<i2", "<u4", "<i4", "<u8", "<i8"};
    require<FileError>(std::find(known.begin(), known.end(), type) != known.end(), source_, ": its elements are '",
                       type.substr(0, 20), "'; expected integers as '|u1' or '<i8', which array.astype makes");
    header.has_sign = type[1] == 'i';
    header.item = type[2] - '0';
  }
  void count(NpyHeader& header) const {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / 16;
    for (const std::int64_t extent : header.shape) {
      if (extent > 0 && header.elements > most / extent) refuse("its shape has more elements than can be counted");
      header.elements *= extent;
    }
  }

  std::string_view rest_;
  const std::string& source_;
};

}  // namespace detail

/// An open file. It must not change while it is read.
class NpyFile {
 public:
  /// Reads the header. Throws FileError, naming the file, where it is missing, no such file, of elements that are no
  /// integers in C order, or shorter or longer than its header says.
  explicit NpyFile(std::filesystem::path path)
      : path_(std::move(path)), file_(path_, O_RDONLY | O_CLOEXEC | O_NONBLOCK) {
    if (!file_.valid()) detail::fail_from_errno(path_, "cannot open");
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0) detail::fail_from_errno(path_, "cannot read");
    require<FileError>(S_ISREG(status.st_mode), path_.string(), ": is not a regular file");
    size_ = status.st_size;
    read_header();
    const std::int64_t expected = header_.elements * header_.item, found = size_ - begin_;
    require<FileError>(found == expected, path_.string(), found < expected ? ": truncated: " : ": damaged: ", found,
                       " bytes follow the header, which announces ", expected, "; fetch or save it again");
  }

  /// What the file says of its array.
  [[nodiscard]] const NpyHeader& header() const { return header_; }
  /// Of the array.
  [[nodiscard]] const std::vector<std::int64_t>& shape() const { return header_.shape; }
  /// Of the file.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  /// Throws FileError unless the array has this shape, where -1 stands for any extent, and elements of so many bytes
  /// (0: any): `what` says what it is for.
  void require_shape(const std::vector<std::int64_t>& shape, std::int64_t item, const char* what) const {
    const bool same = std::equal(shape.begin(), shape.end(), header_.shape.begin(), header_.shape.end(),
                                 [](std::int64_t a, std::int64_t b) { return a == -1 || a == b; });
    NpyHeader expected{.shape = shape, .item = item == 0 ? header_.item : item, .has_sign = false};
    if (item == 0) expected.has_sign = header_.has_sign;
    require<FileError>(same && (item == 0 || (header_.item == item && !header_.has_sign)), path_.string(), ": is ",
                       header_.describe(), "; ", what, " are ", expected.describe(), ", where -1 is any number");
  }

  /// The bytes of rows [first, first + count) of the first axis. Throws FileError where they cannot be read.
  void read_rows(std::int64_t first, std::int64_t count, std::uint8_t* to) const {
    const std::int64_t row = row_bytes();
    read_at(begin_ + first * row, count * row, reinterpret_cast<char*>(to));
  }
  /// All elements as numbers. Throws FileError for one beyond 2^63 - 1.
  [[nodiscard]] std::vector<std::int64_t> values() const {
    std::vector<std::uint8_t> bytes(to_size(header_.elements * header_.item));
    read_at(begin_, std::ssize(bytes), reinterpret_cast<char*>(bytes.data()));
    std::vector<std::int64_t> result;
    result.reserve(to_size(header_.elements));
    for (std::int64_t i = 0; i < header_.elements; ++i) result.push_back(value(bytes.data() + i * header_.item, i));
    return result;
  }

 private:
  [[nodiscard]] std::int64_t row_bytes() const {
    std::int64_t bytes = header_.item;
    for (std::size_t axis = 1; axis < header_.shape.size(); ++axis) bytes *= header_.shape[axis];
    return bytes;
  }

  [[nodiscard]] std::int64_t value(const std::uint8_t* bytes, std::int64_t index) const {
    std::uint64_t bits = 0;
    for (std::int64_t b = 0; b < header_.item; ++b) bits |= std::uint64_t{bytes[b]} << (8 * b);
    if (header_.has_sign && header_.item < 8 && bits >> (8 * header_.item - 1))
      bits |= ~std::uint64_t{0} << (8 * header_.item);
    require<FileError>(header_.has_sign || bits >> 63 == 0, path_.string(), ": element ", index, " is ", bits,
                       ", which is larger than any number here may be");
    return static_cast<std::int64_t>(bits);
  }

  void read_at(std::int64_t offset, std::int64_t count, char* to) const {
    for (std::int64_t have = 0; have < count;) {
      const ssize_t read =
          detail::uninterrupted([&] { return ::pread(file_.get(), to + have, to_size(count - have), offset + have); });
      if (read < 0) detail::fail_from_errno(path_, "cannot read");
      require<FileError>(read > 0, path_.string(), ": ended at byte ", offset + have, " while it was read");
      have += read;
    }
  }

  void read_header() {
    constexpr std::string_view magic = "\x93NUMPY";
    std::array<char, 12> start{};
    read_at(0, std::min<std::int64_t>(size_, std::ssize(start)), start.data());
    const auto byte = [&](std::size_t i) { return static_cast<std::int64_t>(static_cast<unsigned char>(start[i])); };
    require<FileError>(std::string_view(start.data(), magic.size()) == magic, path_.string(),
                       ": is no .npy file: it does not start with \\x93NUMPY; save the array with numpy.save");
    require<FileError>(byte(6) >= 1 && byte(6) <= 3, path_.string(), ": is of version ", byte(6),
                       " of the .npy format; 1 to 3 are read");
    const std::int64_t length_bytes = byte(6) == 1 ? 2 : 4;
    std::int64_t length = 0;
    for (std::int64_t b = length_bytes; b-- > 0;) length = length << 8 | byte(to_size(8 + b));
    begin_ = 8 + length_bytes + length;
    constexpr std::int64_t most = 1 << 20;
    require<FileError>(length <= most && begin_ <= size_, path_.string(), ": truncated or damaged: its header of ",
                       length, " bytes does not fit into ", size_, "; fetch or save it again");
    std::string text(to_size(length), '\0');
    read_at(8 + length_bytes, length, text.data());
    const std::string source = path_.string();
    header_ = detail::NpyDictionary(text, source).read();
  }

  std::filesystem::path path_;
  detail::Descriptor file_;
  std::int64_t size_ = 0, begin_ = 0;
  NpyHeader header_;
};

}  // namespace lpw::inline LPW_ABI::io
