// Windows of streams that read a text side by side, and the byte that follows each byte of them: an element of both for
// each thread.
#pragma once

#include <lpw/kernels/elements.cuh>

namespace lpw::inline LPW_ABI::kernels {

template <class Index>
struct TextWindows {
  const std::uint8_t* text;          // (stream, byte): stream k batch + b is member k's b-th
  Index *inputs, *targets;           // (member, step, b)
  std::int64_t stream_bytes, first;  // of a stream, and where in it the window begins
  std::int64_t members, steps, batch;
};

/// No shared memory.
template <class Index>
__global__ void __launch_bounds__(element_threads, element_blocks) text_windows(const TextWindows<Index> p) {
  const Stride at = Stride::of(p.members * p.steps * p.batch);
  for (int step = 0; step < at.steps; ++step) {
    const std::int64_t place = at[step], row = place / p.batch, stream = row / p.steps * p.batch + place % p.batch;
    const std::uint8_t* bytes = p.text + stream * p.stream_bytes + p.first + row % p.steps;
    p.inputs[place] = bytes[0];
    p.targets[place] = bytes[1];
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
