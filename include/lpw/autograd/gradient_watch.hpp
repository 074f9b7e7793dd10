// Who is told during a backward pass which leaves' gradients are finished, to go on with them while it runs: sums over
// processes begin with the last layers' while the first ones' are computed (distributed/members.hpp).
#pragma once

#include <vector>

#include <lpw/tensor/abi.hpp>

namespace lpw::inline LPW_ABI {

/// Is called by the thread that runs backward. A leaf is known by where its gradient begins.
class GradientWatch {
 public:
  GradientWatch() = default;
  GradientWatch(const GradientWatch&) = delete;
  GradientWatch& operator=(const GradientWatch&) = delete;
  virtual ~GradientWatch() = default;

  /// Backward begins. `leaves`: all that it adds to; one that was read in several places comes as often.
  virtual void begin(const std::vector<const void*>& leaves) = 0;
  /// All that was read from a leaf in one of these places has been added to its gradient.
  virtual void leave(const void* leaf) = 0;
  /// An operation's step has run.
  virtual void step() = 0;
};

}  // namespace lpw::inline LPW_ABI
