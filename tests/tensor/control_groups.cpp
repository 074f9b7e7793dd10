#include <lpw/tensor/control_groups.hpp>
#include <lpw/tensor/host_memory.hpp>

#include <cstdlib>
#include <filesystem>

#include "catch.hpp"

namespace lpw {
namespace {

/// A tree of made-up files in place of the system's.
class Tree {
 public:
  Tree() {
    std::string name = (std::filesystem::temp_directory_path() / "lpw-groups-XXXXXX").string();
    root_ = mkdtemp(name.data());
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  ~Tree() { std::filesystem::remove_all(root_); }

  Tree& put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text << '\n';
    return *this;
  }
  [[nodiscard]] GroupLimits limits() const { return group_limits(root_); }
  [[nodiscard]] const std::string& root() const { return root_; }

 private:
  std::string root_;
};

constexpr const char *mounts = "/proc/self/mountinfo", *groups = "/proc/self/cgroup";

TEST_CASE("limits of version 2 are the least on the way up to the mount") {
  Tree tree;
  tree.put(groups, "0::/work.slice/job.scope")
      .put(mounts,
           "25 1 0:22 / / rw - ext4 /dev/vda rw\n30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 "
           "rw,nsdelegate");
  CHECK_FALSE(tree.limits().processors);
  CHECK_FALSE(tree.limits().memory);

  tree.put("/sys/fs/cgroup/work.slice/job.scope/cpu.max", "max 100000")
      .put("/sys/fs/cgroup/work.slice/job.scope/memory.max", "max");
  CHECK_FALSE(tree.limits().processors);
  CHECK_FALSE(tree.limits().memory);

  tree.put("/sys/fs/cgroup/work.slice/cpu.max", "150000 100000")
      .put("/sys/fs/cgroup/work.slice/memory.max", "536870912");
  CHECK(tree.limits().processors == 1.5);
  CHECK(tree.limits().memory == std::size_t{512} << 20);

  tree.put("/sys/fs/cgroup/work.slice/job.scope/cpu.max", "400000 100000")
      .put("/sys/fs/cgroup/work.slice/job.scope/memory.max", "268435456");
  CHECK(tree.limits().processors == 1.5);
  CHECK(tree.limits().memory == std::size_t{256} << 20);
}

TEST_CASE("limits of version 1 come from each controller's own hierarchy") {
  Tree tree;
  tree.put(groups, "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/")
      .put(mounts,
           "33 31 0:30 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
           "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory");
  tree.put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1")
      .put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000")
      .put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824");
  CHECK_FALSE(tree.limits().processors);
  CHECK(tree.limits().memory == std::size_t{1} << 30);

  tree.put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000");
  CHECK(tree.limits().processors == 0.5);
}

TEST_CASE("groups above the own one count, and their paths may hold spaces") {
  Tree tree;
  tree.put(groups, "4:memory:/a/b b/c")
      .put(mounts, "35 31 0:32 /a /sys/my\\040groups ro - cgroup cgroup rw,memory")
      .put("/sys/my groups/b b/c/memory.limit_in_bytes", "9223372036854771712")
      .put("/sys/my groups/b b/memory.limit_in_bytes", "4096000");
  CHECK(tree.limits().memory == 4096000u);
}

TEST_CASE("a process of another namespace has the limits of the mount") {
  Tree tree;
  tree.put(groups, "0::/../../other")
      .put(mounts, "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw")
      .put("/sys/fs/cgroup/cpu.max", "200000 100000");
  CHECK(tree.limits().processors == 2.0);
}

TEST_CASE("files that are missing or make no sense limit nothing") {
  Tree tree;
  CHECK_FALSE(tree.limits().processors);
  tree.put(groups, "nonsense\n0:\n::\n0::/x")
      .put(mounts, "- cgroup2\n1 2 3 - cgroup\n\n30 25 0:26 / /g rw - cgroup2 cgroup2 rw");
  for (const char* text :
       {"", "0 100000", "100000 0", "100000", "x 100000", "100000 y", "-5 100000", "99999999999999999999999 100000"}) {
    INFO(text);
    tree.put("/g/x/cpu.max", text).put("/g/x/memory.max", "12 apples?");
    const auto limits = tree.limits();
    CHECK((!limits.processors || *limits.processors > 0));
    CHECK(limits.memory == 12u);
  }
  tree.put("/g/x/memory.max", "-1");
  CHECK_FALSE(tree.limits().memory);
}

TEST_CASE("tensors leave a part of a group's memory to the rest of the program") {
  constexpr std::size_t mega = 1 << 20;
  CHECK(usable_memory(1000 * mega, {}) == 1000 * mega);
  CHECK(usable_memory(1000 * mega, {.processors = {}, .memory = 2000 * mega}) == 1000 * mega);
  CHECK(usable_memory(1000 * mega, {.processors = {}, .memory = 512 * mega}) == 448 * mega);
  CHECK(usable_memory(1000 * mega, {.processors = {}, .memory = 100 * mega}) == 75 * mega);
}

TEST_CASE("a group's memory is shared with what the process holds itself") {
  constexpr std::size_t mega = 1 << 20;
  const std::size_t pages = mega / HostMemory::page();
  Tree tree;
  tree.put(groups, "0::/").put(mounts, "30 25 0:26 / /g rw - cgroup2 cgroup2 rw");
  const auto holds = [&](std::size_t anonymous, std::size_t shared) {
    tree.put("/proc/self/statm",
             to_text(2000 * pages, ' ', (anonymous + shared) * pages, ' ', shared * pages, " 1 0 2 0"));
  };
  // 448 MB of 512 are for tensors, less what others hold.
  const auto taken = [&](std::size_t size, std::size_t held) {
    const HostMemory memory(tree.root());
    const auto reserved = memory.reserve(size * mega);
    REQUIRE_FALSE(reserved.empty());
    const bool committed = memory.commit(reserved.data(), size * mega, held * mega);
    HostMemory::release(reserved);
    return committed;
  };
  holds(184, 300);
  CHECK(taken(300, 0));  // no limit
  tree.put("/g/memory.max", "536870912");
  CHECK(taken(260, 0));
  CHECK_FALSE(taken(270, 0));
  CHECK(taken(260, 100));  // of the 184 tensors hold 100
  CHECK_FALSE(taken(270, 100));
  holds(384, 300);
  CHECK(taken(60, 100));
  CHECK_FALSE(taken(70, 100));

  const HostMemory memory(tree.root());
  const auto reserved = memory.reserve(200 * mega);
  CHECK(memory.commit(reserved.data(), 2 * mega, 0));
  holds(10, 300);  // as if the data had gone to tensors that are not touched yet
  CHECK_FALSE(memory.commit(reserved.data(), 100 * mega, 0));
  HostMemory::release(reserved);
}

TEST_CASE("this process's own limits can be read") {
  const auto limits = group_limits();
  CHECK((!limits.processors || *limits.processors > 0));
  CHECK((!limits.memory || *limits.memory > 0));
}

}  // namespace
}  // namespace lpw
