// Counts the bytes that kernels move between memory and caches.
//
// It stands in the place of the library that -fsanitize=thread would bring: the compiler calls these
// functions at every access. They are kept, then replayed as a GPU would have them, a block's threads
// in step from barrier to barrier and some blocks side by side, through a cache that forgets what was
// used longest ago.
#include <link.h>
#include <pthread.h>

#include <algorithm>
#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

namespace {

constexpr uint64_t kSector = 32;
// Blocks side by side, and what they share: as much for each as the 50 MB of an H100's cache give to
// each of eight blocks on 132 multiprocessors.
constexpr size_t kResident = 4, kCache = kResident * 48 * 1024;

class Cache {
 public:
  uint64_t moved = 0;

  // What is written is written whole, so that nothing need be read for it.
  void touch(uint64_t sector, bool written) {
    auto found = lines_.find(sector);
    if (found == lines_.end()) {
      if (!written) moved += kSector;
      if (lines_.size() == kCache / kSector) drop();
      order_.push_front(sector);
      found = lines_.insert({sector, {order_.begin(), false}}).first;
    }
    order_.splice(order_.begin(), order_, found->second.place);
    found->second.dirty |= written;
  }

  void empty() {
    while (!order_.empty()) drop();
  }

 private:
  struct Line {
    std::list<uint64_t>::iterator place;
    bool dirty;
  };
  std::list<uint64_t> order_;
  std::unordered_map<uint64_t, Line> lines_;

  void drop() {
    const auto last = lines_.find(order_.back());
    if (last->second.dirty) moved += kSector;
    lines_.erase(last);
    order_.pop_back();
  }
};

struct Range {
  uintptr_t begin, end;
};
struct Running {
  size_t block, at;
};

bool watching = false;
std::vector<Range> ignored;                // the host's, stacks and shared memory
using Accesses = std::vector<uint64_t>;     // of each twice the sector, and 1 where it is written
std::vector<Accesses> threads;             // of a block, since its last barrier
std::vector<Accesses> blocks;              // of a launch
Cache cache;

int ignore_this_library(dl_phdr_info* library, size_t, void*) {
  for (int i = 0; i < library->dlpi_phnum; ++i) {
    const auto& part = library->dlpi_phdr[i];
    const uintptr_t begin = library->dlpi_addr + part.p_vaddr, end = begin + part.p_memsz;
    const auto own = reinterpret_cast<uintptr_t>(&ignored);
    if (part.p_type == PT_LOAD && begin <= own && own < end) ignored.push_back({begin, end});
  }
  return 0;
}

void ignore_stack() {
  pthread_attr_t attributes;
  void* begin = nullptr;
  size_t size = 0;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &begin, &size);
  pthread_attr_destroy(&attributes);
  ignored.push_back({uintptr_t(begin), uintptr_t(begin) + size});
}

void seen(const void* place, uint64_t bytes, bool written) {
  if (!watching) return;
  const auto begin = reinterpret_cast<uintptr_t>(place);
  for (const Range& range : ignored)
    if (range.begin <= begin && begin < range.end) return;
  const uintptr_t last = begin + bytes - 1;
  for (uint64_t sector = begin / kSector; sector <= last / kSector; ++sector)
    threads.back().push_back(2 * sector + written);
}

}  // namespace

extern "C" {

// For the emulator: what is not the device's memory, where a block begins and a thread's turn, where
// all threads have come to a barrier, and where a launch ends.
void traffic_ignore(const void* begin, size_t bytes) {
  ignored.push_back({uintptr_t(begin), uintptr_t(begin) + bytes});
}
void traffic_watch(int on) { watching = on; }
void traffic_block() { blocks.emplace_back(); }
void traffic_turn() { threads.emplace_back(); }
void traffic_barrier() {
  Accesses& block = blocks.back();
  bool more = true;
  for (size_t step = 0; more; ++step) {
    more = false;
    for (const Accesses& thread : threads) {
      if (step >= thread.size()) continue;
      more = true;
      if (block.empty() || block.back() != thread[step]) block.push_back(thread[step]);
    }
  }
  threads.clear();
}
void traffic_launched() {
  std::vector<Running> running;
  for (size_t next = 0;;) {
    while (running.size() < kResident && next < blocks.size()) running.push_back({next++, 0});
    const auto ended = [](Running& r) { return r.at == blocks[r.block].size(); };
    running.erase(std::remove_if(running.begin(), running.end(), ended), running.end());
    if (running.empty() && next == blocks.size()) break;
    for (Running& r : running) {
      const uint64_t access = blocks[r.block][r.at++];
      cache.touch(access / 2, access % 2);
    }
  }
  blocks.clear();
}

// For tests: begins to count; writes results back and empties the cache; what was moved since the
// beginning, with all results written back.
void traffic_begin() {
  if (ignored.empty()) dl_iterate_phdr(ignore_this_library, nullptr);
  ignore_stack();
  cache = Cache();
}
void traffic_forget() { cache.empty(); }
uint64_t traffic_moved() {
  cache.empty();
  return cache.moved;
}

// Source: GCC, gcc/sanitizer.def.
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void*, void*) {}
void __tsan_read_range(void* p, size_t bytes) { if (bytes) seen(p, bytes, false); }
void __tsan_write_range(void* p, size_t bytes) { if (bytes) seen(p, bytes, true); }
char __tsan_atomic8_load(const volatile char* p, int) { return *p; }
#define KAB_WATCHED(bytes)                                               \
  void __tsan_read##bytes(void* p) { seen(p, bytes, false); }            \
  void __tsan_write##bytes(void* p) { seen(p, bytes, true); }            \
  void __tsan_unaligned_read##bytes(void* p) { seen(p, bytes, false); }  \
  void __tsan_unaligned_write##bytes(void* p) { seen(p, bytes, true); }
KAB_WATCHED(1)
KAB_WATCHED(2)
KAB_WATCHED(4)
KAB_WATCHED(8)
KAB_WATCHED(16)
}
