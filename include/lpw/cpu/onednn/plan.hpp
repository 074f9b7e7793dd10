// What every use of oneDNN shares: the engine, plans (a primitive with its scratchpad) and the cache that keeps them.
// oneDNN 3 dropped the operation descriptors of 2.x; describe() and describe_backward() are the only code that knows.
// All temporary memory is a user-mode scratchpad from lpw's pool, so that a steady training step touches no fresh
// pages. Plans are made for one thread and run on the thread that calls them: our loops cut the work into parts, by
// shape.
#pragma once

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include <dnnl.hpp>

#include <lpw/cpu/base/openmp.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI::onednn {

/// Whether the processor has AMX but does not say how large its tiles are (CPUID leaf 0x1D), as under some hypervisors.
/// oneDNN then runs into illegal instructions.
[[nodiscard]] inline bool tiles_unknown() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool amx = __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & 1u << 24) != 0;
  return amx && (__get_cpuid_count(0x1d, 0, &a, &b, &c, &d) == 0 || a == 0);
#else
  return false;
#endif
}

/// The processor. Never destroyed: plans with static lifetime refer to it.
[[nodiscard]] inline const dnnl::engine& engine() {
  static const dnnl::engine& engine = []() -> const dnnl::engine& {
    const bool chosen = std::getenv("ONEDNN_MAX_CPU_ISA") || std::getenv("DNNL_MAX_CPU_ISA");
    if (tiles_unknown() && !chosen) dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx512_core_bf16);
    return *new dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return engine;
}

[[nodiscard]] inline dnnl::stream& stream() {
  static thread_local dnnl::stream stream(engine());
  return stream;
}

/// Element types that oneDNN computes in.
template <class T>
inline constexpr bool supports = std::is_same_v<T, float> || std::is_same_v<T, bfloat16>;

template <class T>
  requires supports<T>
inline constexpr dnnl::memory::data_type data_type =
    std::is_same_v<T, float> ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;

/// Whether oneDNN multiplies bfloat16 faster than float, so that nothing is widened: by default where there is AMX. The
/// bfloat16 of AVX-512 was measured at half of float's rate on a Xeon of the Sapphire Rapids generation. Change it only
/// while no primitive runs.
[[nodiscard]] inline bool& bfloat16_is_fast() {
  static bool fast = [] {
    (void)engine();
    constexpr auto amx = static_cast<unsigned>(dnnl_cpu_isa_avx512_core_amx);
    return (static_cast<unsigned>(dnnl_get_effective_cpu_isa()) & amx) == amx;
  }();
  return fast;
}

/// The descriptor of a forward operation from oneDNN's arguments for it.
template <class Primitive, class... Args>
[[nodiscard]] typename Primitive::primitive_desc describe(const dnnl::primitive_attr& attributes, const Args&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(engine(), args..., attributes);
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(args...), attributes, engine());
#endif
}

/// The descriptor of a backward operation; `forward` is the descriptor of its forward.
template <class Primitive, class Forward, class... Args>
[[nodiscard]] typename Primitive::primitive_desc describe_backward(const dnnl::primitive_attr& attributes,
                                                                   const Forward& forward, const Args&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(engine(), args..., forward, attributes);
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(args...), attributes, engine(), forward);
#endif
}

/// Attributes of every operation here: scratchpad from the caller, and the result added to the destination if
/// `accumulate`.
[[nodiscard]] inline dnnl::primitive_attr attributes(bool accumulate = false) {
  dnnl::primitive_attr result;
  result.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.f);
    result.set_post_ops(sum);
  }
  return result;
}

/// oneDNN's view of memory that is ours; it takes no const, but writes only to destinations.
[[nodiscard]] inline dnnl::memory memory(const dnnl::memory::desc& desc, const void* data) {
  return dnnl::memory(desc, engine(), const_cast<void*>(data));
}

/// Pooled memory that holds what `desc` describes.
class Buffer {
 public:
  explicit Buffer(const dnnl::memory::desc& desc)
      : bytes_({static_cast<std::int64_t>(desc.get_size())}), memory_(memory(desc, bytes_.data())) {}
  [[nodiscard]] const dnnl::memory& get() const { return memory_; }

 private:
  Tensor<std::uint8_t, Cpu> bytes_;  // before memory_, which is made from it
  dnnl::memory memory_;
};

/// A primitive ready to run.
class Operation {
 public:
  Operation() = default;
  template <class PrimitiveDesc>
  Operation(const dnnl::primitive& primitive, const PrimitiveDesc& desc)
      : primitive_(primitive), scratchpad_(desc.scratchpad_desc()) {}

  void run(std::unordered_map<int, dnnl::memory> args) const {
    const lpw::detail::SerialOpenMp serial;
    const Buffer scratchpad(scratchpad_);
    args.emplace(DNNL_ARG_SCRATCHPAD, scratchpad.get());
    primitive_.execute(stream(), args);
    stream().wait();
  }

 private:
  dnnl::primitive primitive_;
  dnnl::memory::desc scratchpad_;
};

/// A copy from one layout or type to another, added to the destination if `accumulate`.
[[nodiscard]] inline Operation reorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to,
                                       bool accumulate = false) {
  const dnnl::reorder::primitive_desc desc(engine(), from, engine(), to, attributes(accumulate));
  return {dnnl::reorder(desc), desc};
}

/// Plans by shape and type, made once each. A plan that oneDNN does not implement is remembered as null: the caller
/// then does without oneDNN.
template <class Plan>
class Cache {
 public:
  using Key = std::array<std::int64_t, 16>;

  template <class Make>
  [[nodiscard]] std::shared_ptr<const Plan> find(const Key& key, Make&& make) {
    std::lock_guard lock(mutex_);
    if (const auto found = plans_.find(key); found != plans_.end()) return found->second;
    if (plans_.size() >= limit) plans_.clear();
    return plans_[key] = made(make);
  }

 private:
  static constexpr std::size_t limit = 1024;

  template <class Make>
  static std::shared_ptr<const Plan> made(Make&& make) {
    const lpw::detail::SerialOpenMp serial;
    try {
      return std::make_shared<const Plan>(make());
    } catch (const dnnl::error& error) {
      if (error.status == dnnl_unimplemented) return nullptr;
      throw;
    }
  }

  std::mutex mutex_;
  std::map<Key, std::shared_ptr<const Plan>> plans_;
};

/// The process's plans of one kind. Never destroyed, like the pool their users' buffers come from.
template <class Plan>
[[nodiscard]] Cache<Plan>& cache() {
  static Cache<Plan>& cache = *new Cache<Plan>;
  return cache;
}

/// Runs `body`, turning oneDNN's exceptions into lpw's.
template <class Body>
auto translate_errors(const char* operation, Body&& body) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory)
      fail<OutOfMemory>("oneDNN ", operation, ": out of memory; take a smaller batch, member chunk or model");
    fail<Error>("oneDNN ", operation, ": ", error.what(), " (status ", static_cast<int>(error.status), ")");
  }
}

}  // namespace lpw::inline LPW_ABI::onednn
