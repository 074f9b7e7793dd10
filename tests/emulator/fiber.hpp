// A fiber: a stack of its own on which one job after another runs, each of which may suspend itself in the middle.
// Stacks and contexts live as long as the fiber, so a kernel's launch costs no allocation. AddressSanitizer is told of
// every switch.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include <boost/context/fiber.hpp>

#include "emulator/asan.hpp"

#if LPW_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace lpw::emulator {

class Fiber {
 public:
  using Job = void (*)(void*);

  /// `number` spreads the stacks over cache sets: stacks at equal distances modulo 4096 would all fight for the same
  /// lines.
  explicit Fiber(std::size_t number)
      : top_offset_(number * 576 % 4096),
        stack_(new std::byte[stack_bytes]),
        context_(std::allocator_arg, Stack{*this}, [this](Context&& from) {
          finish_switch(nullptr);
          scheduler_ = std::move(from);
          while (job_) {
            job_(argument_);
            job_ = nullptr;
            suspend();
          }
          start_switch_to_scheduler(nullptr);
          return std::move(scheduler_);
        }) {}

  ~Fiber() { resume(); }  // without a job it ends
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// From the scheduler: the next resume() begins job(argument).
  void start(Job job, void* argument) {
    job_ = job;
    argument_ = argument;
  }

  /// From the scheduler: runs the job until it suspends or ends.
  void resume() {
#if LPW_ASAN
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, stack_.get(), stack_bytes);
    context_ = std::move(context_).resume();
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#else
    context_ = std::move(context_).resume();
#endif
  }

  /// From the job: goes back to the scheduler until the next resume().
  void suspend() {
    void* fake_stack = nullptr;
    start_switch_to_scheduler(&fake_stack);
    scheduler_ = std::move(scheduler_).resume();
    finish_switch(fake_stack);
  }

 private:
  using Context = boost::context::fiber;
  static constexpr std::size_t stack_bytes = LPW_ASAN ? 256 * 1024 : 64 * 1024;  // touched only as far as used

  struct Stack {
    Fiber& fiber;
    [[nodiscard]] boost::context::stack_context allocate() const {
      boost::context::stack_context stack;
      stack.size = stack_bytes - fiber.top_offset_;
      stack.sp = fiber.stack_.get() + stack.size;
      return stack;
    }
    void deallocate(boost::context::stack_context&) const noexcept {}  // the fiber owns it
  };

  void start_switch_to_scheduler([[maybe_unused]] void** fake_stack) {
#if LPW_ASAN
    __sanitizer_start_switch_fiber(fake_stack, scheduler_bottom_, scheduler_bytes_);
#endif
  }
  void finish_switch([[maybe_unused]] void* fake_stack) {
#if LPW_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, &scheduler_bottom_, &scheduler_bytes_);
#endif
  }

  std::size_t top_offset_;
  std::unique_ptr<std::byte[]> stack_;
  Context context_, scheduler_;
  Job job_ = nullptr;
  void* argument_ = nullptr;
#if LPW_ASAN
  const void* scheduler_bottom_ = nullptr;
  std::size_t scheduler_bytes_ = 0;
#endif
};

}  // namespace lpw::emulator
