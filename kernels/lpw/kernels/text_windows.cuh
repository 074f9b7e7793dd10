// Windows of streams that read a text side by side, and the byte that follows each byte of them: an element of both for
// each thread.
#pragma once

#include <lpw/kernels/elements.cuh>

namespace lpw::inline LPW_ABI::kernels {

template <class Index>
struct TextWindows {
  const std::uint8_t* text;                 // (byte)
  Index *inputs, *targets;                  // (member, step, b)
  std::int64_t size;                        // of the text, behind whose last byte comes its first
  std::int64_t member_bytes, stream_bytes;  // member k's stream b begins at byte k member_bytes + b stream_bytes
  std::int64_t first;                       // byte of every stream at which the window begins
  std::int64_t members, steps, batch;
};

/// No shared memory.
template <class Index>
__global__ void __launch_bounds__(element_threads, element_blocks) text_windows(const TextWindows<Index> p) {
  const Stride at = Stride::of(p.members * p.steps * p.batch);
  for (int step = 0; step < at.steps; ++step) {
    const std::int64_t place = at[step], row = place / p.batch;
    std::int64_t byte = row / p.steps * p.member_bytes + place % p.batch * p.stream_bytes + p.first + row % p.steps;
    if (byte >= p.size) byte -= p.size;
    p.inputs[place] = p.text[byte];
    p.targets[place] = p.text[byte + 1 < p.size ? byte + 1 : 0];
  }
}

}  // namespace lpw::inline LPW_ABI::kernels
