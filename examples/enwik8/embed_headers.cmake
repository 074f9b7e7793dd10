# cmake -DINCLUDE=<folder> -DOUTPUT=<file.cpp> -P embed_headers.cmake
# Writes a source file that holds the text of all headers under a folder, in the order of their paths.
file(GLOB_RECURSE headers ${INCLUDE}/*.hpp)
list(SORT headers)
file(WRITE ${OUTPUT}.new "#include \"headers.hpp\"\n\nstd::span<const std::string_view> enwik8::library_headers() {\n"
  "  using namespace std::string_view_literals;\n  static constexpr std::string_view headers[] = {\n")
foreach(header ${headers})
  file(READ ${header} text)
  string(FIND "${text}" ")lpw-header\"" end)
  if(NOT end EQUAL -1)
    message(FATAL_ERROR "${header} holds the mark that ends its text")
  endif()
  file(APPEND ${OUTPUT}.new "R\"lpw-header(${text})lpw-header\"sv,\n")
endforeach()
file(APPEND ${OUTPUT}.new "  };\n  return headers;\n}\n")
file(RENAME ${OUTPUT}.new ${OUTPUT})
