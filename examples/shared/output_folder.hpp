// The folder that a program's results go to, made before they are computed.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <initializer_list>
#include <system_error>

#include <lpw/io/file.hpp>

namespace example {

/// Makes the folder of some files. Throws FileError where it, or they, could not be written.
inline void make_output_folder(const std::filesystem::path& folder, std::initializer_list<const char*> files) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error && ::access(folder.c_str(), W_OK | X_OK) != 0) error = std::error_code(errno, std::generic_category());
  lpw::require<lpw::FileError>(!error, folder.string(), ": cannot write there: ", error.message(),
                               "; choose another `out`");
  for (const char* name : files)
    lpw::require<lpw::FileError>(!std::filesystem::is_directory(folder / name, error), (folder / name).string(),
                                 ": is a folder, where a file is to be; choose another `out`");
}

}  // namespace example
