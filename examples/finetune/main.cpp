// Fine-tuning with late-phase weights: the trainer cifar, which lies beside this program, with the recipe for
// pretrained networks and images of one's own where its options say nothing else (examples/finetune/README.md). Without
// data or weights it shows the recipe on procedural images: trained on one half, fine-tuned on another that is harder.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <lpw/tensor/error.hpp>
#include <lpw/train/run_folder.hpp>

namespace {

using Arguments = std::vector<std::string>;

/// As in examples/configs/finetune-resnet50.toml, but for the network and the size of minibatches. What the members
/// share learns at `late-lr` / K.
constexpr std::string_view recipe = R"(dataset = "folder"
epochs = 20
batch = 32
late-lr = 1e-3
momentum = 0.9
weight-decay = 1e-4
schedule = "steps:10:0.1"
release-epoch = 0
late = "batchnorm"
base-gradient = "mean"
)";
constexpr double late_rate = 1e-3;  // as there
constexpr int default_members = 10;

/// What is shown where no data is given: the network that is pretrained, and how it is fine-tuned. The procedural
/// images are small and few, and take larger rates than ImageNet's.
const Arguments pretraining{"--data",   "synthetic-half", "--model",    "wrn-10-1",  "--normalization",
                            "0.5/0.22", "--epochs",       "10",         "--members", "1",
                            "--late",   "none",           "--schedule", "cosine",    "--eval-every",
                            "10"};
const Arguments tuning{"--data",
                       "synthetic-shifted",
                       "--model",
                       "wrn-10-1",
                       "--normalization",
                       "0.5/0.22",
                       "--epochs",
                       "6",
                       "--members",
                       "4",
                       "--release-epoch",
                       "0",
                       "--late",
                       "batchnorm,head",
                       "--base-gradient",
                       "mean",
                       "--batch",
                       "64",
                       "--lr",
                       "0.01",
                       "--late-lr",
                       "0.04",
                       "--weight-decay",
                       "1e-4",
                       "--schedule",
                       "steps:3:0.1"};

/// Whether an option stands among the arguments, as --NAME or --NAME=VALUE.
[[nodiscard]] bool has(const Arguments& arguments, const std::string& name) {
  for (const auto& argument : arguments)
    if (argument == "--" + name || argument.starts_with("--" + name + "=")) return true;
  return false;
}

/// The value of an option; "" where it is not given.
[[nodiscard]] std::string value_of(const Arguments& arguments, const std::string& name) {
  std::string value;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--" + name && i + 1 < arguments.size()) value = arguments[i + 1];
    if (arguments[i].starts_with("--" + name + "=")) value = arguments[i].substr(name.size() + 3);
  }
  return value;
}

[[nodiscard]] Arguments joined(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// The trainer beside this program: lpw-cifar beside lpw-finetune.
[[nodiscard]] std::string trainer() {
  std::error_code unknown;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", unknown);
  std::string name = self.filename().string();
  if (const auto at = name.rfind("finetune"); at != name.npos) name.replace(at, name.size() - at, "cifar");
  return (self.parent_path() / name).string();
}

/// A number that an option has, or another one where it is not given, or is no number above zero, which the trainer
/// refuses.
[[nodiscard]] double number_of(const Arguments& arguments, const std::string& name, double otherwise) {
  std::string text = value_of(arguments, name);
  if (text.starts_with('+')) text.erase(0, 1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value > 0 ? value : otherwise;
}

/// The recipe for the members that are asked for.
[[nodiscard]] std::string recipe_for(const Arguments& arguments) {
  const double members = number_of(arguments, "members", default_members),
               rate = number_of(arguments, "late-lr", late_rate) / members;
  char numbers[96];
  std::snprintf(numbers, sizeof numbers, "members = %d\nlr = %.6g\n", default_members, rate);
  return std::string(recipe) + numbers;
}

/// Becomes the trainer. Returns the exit code where it cannot.
int become_trainer(const Arguments& arguments) {
  const std::string program = trainer();
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  std::fprintf(stderr, "finetune: %s: cannot be started: %s; build or install the trainer cifar beside this program\n",
               program.c_str(), std::strerror(errno));
  return 1;
}

volatile std::sig_atomic_t started = 0;  // the trainer's process

/// While one is alive, a signal that would end this process is the trainer's, which saves what it has, and ends. One
/// that is ignored stays so.
class HandedOn {
 public:
  HandedOn() {
    struct sigaction action {};
    action.sa_handler = [](int signal) {
      if (started > 0) ::kill(started, signal);
    };
    sigemptyset(&action.sa_mask);
    sigemptyset(&signals_);
    for (auto& [signal, before] : before_) {
      sigaction(signal, nullptr, &before);
      if (before.sa_handler == SIG_IGN) continue;
      sigaction(signal, &action, nullptr);
      sigaddset(&signals_, signal);
    }
    sigprocmask(SIG_BLOCK, &signals_, nullptr);
  }
  ~HandedOn() {
    give_back();
    started = 0;
  }
  HandedOn(const HandedOn&) = delete;
  HandedOn& operator=(const HandedOn&) = delete;

  /// What they did before, in the trainer's process too.
  void give_back() const {
    for (const auto& [signal, before] : before_) sigaction(signal, &before, nullptr);
  }
  /// They wait from the beginning until there is somebody to take them.
  void begin() const { sigprocmask(SIG_UNBLOCK, &signals_, nullptr); }

 private:
  struct Taken {
    int signal;
    struct sigaction before {};
  };
  std::array<Taken, 3> before_{{{SIGINT}, {SIGTERM}, {SIGHUP}}};
  sigset_t signals_;
};

/// Runs the trainer to its end and returns its exit code; `silent`: it prints nothing but what is wrong.
[[nodiscard]] int run_trainer(const Arguments& arguments, bool silent = false) {
  std::fflush(stdout);
  const HandedOn signals;
  const pid_t child = ::fork();
  if (child == 0) {
    ::setpgid(0, 0);  // or what a terminal sends to all would reach it twice, and end it at once
    signals.give_back();
    signals.begin();
    if (silent && !std::freopen("/dev/null", "w", stdout)) ::_exit(1);
    ::_exit(become_trainer(arguments));
  }
  started = child;
  signals.begin();
  int status = 1;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (child < 0) std::fprintf(stderr, "finetune: cannot start a process: %s\n", std::strerror(errno));
  if (child > 0 && WIFSIGNALED(status)) return 128 + WTERMSIG(status);
  return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/// Becomes the trainer, with the recipe as a --config that nobody else sees.
int become_trainer_with_recipe(const Arguments& arguments) {
  const std::string text = recipe_for(arguments);
  const int file = ::memfd_create("recipe", 0);
  if (file < 0 || ::write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    std::fprintf(stderr, "finetune: cannot hand over the recipe: %s; give it: --config a file of examples/configs\n",
                 std::strerror(errno));
    return 1;
  }
  return become_trainer(joined({"--config", "/proc/self/fd/" + std::to_string(file)}, arguments));
}

/// A run folder that no other run has. Throws lpw::Error where it cannot be made.
[[nodiscard]] std::string new_folder() {
  char name[64];
  const std::time_t now = std::time(nullptr);
  std::strftime(name, sizeof name, "runs/finetune-%Y%m%d-%H%M%S", std::localtime(&now));
  return lpw::train::make_new_folder(name).string();
}

int demonstrate(Arguments arguments) {
  // It says why, where something is wrong with the options.
  if (run_trainer(joined(joined(tuning, arguments), {"--dry-run"}), true) != 0) return 1;
  const std::string out = value_of(arguments, "out").empty() ? new_folder() : value_of(arguments, "out");
  if (!has(arguments, "out")) arguments = joined({"--out", out}, arguments);
  const std::string before = out + "-pretrained", model = before + "/model.safetensors";
  Arguments machine;
  for (const char* name : {"device", "threads", "precision"})
    if (has(arguments, name)) machine = joined(machine, {std::string("--") + name, value_of(arguments, name)});
  std::printf("No --data: procedural images. First a network is trained on one half of them ...\n");
  if (!std::filesystem::exists(model))
    if (const int code = run_trainer(joined(joined(pretraining, machine), {"--resume", "--out", before})); code != 0)
      return code;
  std::printf("\n... and now fine-tuned on others, which are harder:\n");
  std::fflush(stdout);
  return become_trainer(joined(joined(tuning, {"--init", model}), arguments));
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments(argv + 1, argv + argc);
  const auto any = [&](std::initializer_list<const char*> names) {
    for (const char* name : names)
      if (has(arguments, name)) return true;
    return false;
  };
  if (any({"help", "version"}) || std::find(arguments.begin(), arguments.end(), "-h") != arguments.end()) {
    std::printf(
        "finetune is cifar with the recipe of examples/configs/finetune-resnet50.toml, but for its batch of 256. Of K "
        "members, lr is late-lr / K. Without --data, --init and --model it shows the recipe on procedural images, with "
        "settings of their own.\n\n%s\n",
        recipe_for({}).c_str());
    std::printf("  finetune --data DIR --model resnet50 --init pretrained.safetensors --convert --out RUN_DIR\n\n");
    std::fflush(stdout);
    return become_trainer(arguments);
  }
  const bool goes_on = any({"resume"}) && std::filesystem::exists(value_of(arguments, "out") + "/config.toml");
  if (any({"config", "eval"}) || goes_on) return become_trainer(arguments);  // which say all of it
  if (any({"data", "init", "model"})) return become_trainer_with_recipe(arguments);
  if (any({"dry-run"})) return become_trainer(joined(tuning, arguments));
  try {
    return demonstrate(arguments);
  } catch (const lpw::Error& error) {
    std::fprintf(stderr, "finetune: %s\n", error.what());
    return 1;
  }
}
