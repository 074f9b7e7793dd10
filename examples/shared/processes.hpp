// The processes that a program was started as one of, and how they end together. MPI is started where a launcher says
// that there are several, and nowhere else: programs start without it as they always did.
#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include <lpw/distributed/any_communicator.hpp>
#include <lpw/distributed/launcher.hpp>
#include <lpw/distributed/mpi.hpp>
#include <lpw/train/printable.hpp>

namespace example {

class Processes {
 public:
  /// Throws lpw::Error for several processes of a program without MPI.
  [[nodiscard]] lpw::distributed::AnyCommunicator& start() {
    const auto launcher = lpw::distributed::launched();
    if (!launcher || launcher->processes == 1) return lpw::distributed::single_process();
    mpi_ = std::make_unique<lpw::distributed::Mpi>();
    communicator_ = std::make_unique<lpw::distributed::AnyCommunicatorOf<lpw::distributed::Mpi>>(*mpi_);
    return *communicator_;
  }

  /// Prints a line that says why the program ends, once, whichever processes come here, and ends all of them. Returns
  /// the exit code of a program that is one process.
  int fail(const char* program, const std::string& message, int exit_code) const {
    const auto launcher = lpw::distributed::launched();
    const bool speaks = mpi_ ? mpi_->speaks_for_failure() : !launcher || launcher->rank == 0;
    if (speaks) std::fprintf(stderr, "%s: %s\n", program, lpw::train::one_line(message).c_str());
    if (!mpi_) return exit_code;
    if (!speaks) std::this_thread::sleep_for(std::chrono::seconds(10));  // who speaks ends this one
    std::fflush(nullptr);
    mpi_->abort(exit_code);
  }

 private:
  std::unique_ptr<lpw::distributed::Mpi> mpi_;
  std::unique_ptr<lpw::distributed::AnyCommunicator> communicator_;
};

}  // namespace example
