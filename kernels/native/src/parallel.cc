#include "parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

namespace kab {
namespace {

// Below this a second thread costs more than it saves: waking one takes about 10 us, in which one
// core streams some 50 000 float32 (2-core x86-64).
constexpr int64_t kElementsPerWorker = 32768;

struct Work {
  std::atomic<int64_t> next{0}, done{0}, workers{1};
  int64_t blocks;
  const Body* body;
  std::mutex mutex;
  std::condition_variable finished;
};

void take_part(Work& work, int64_t worker) {
  for (int64_t block; (block = work.next++) < work.blocks;) {
    (*work.body)(worker, block);
    if (++work.done == work.blocks) {
      std::lock_guard<std::mutex> lock(work.mutex);
      work.finished.notify_all();
    }
  }
}

void run_task(void* data) {
  std::unique_ptr<std::shared_ptr<Work>> work(static_cast<std::shared_ptr<Work>*>(data));
  take_part(**work, (*work)->workers++);
}

}  // namespace

int64_t worker_count(const kab_workers* workers, int64_t blocks, int64_t elements) {
  const int64_t threads = workers ? workers->threads : 1;
  return std::max<int64_t>(1, std::min({threads, blocks, elements / kElementsPerWorker + 1}));
}

// The caller waits for blocks, never for helpers: a helper that starts late finds no block left.
// So callers that occupy every thread of the pool cannot block one another.
void for_each_block(const kab_workers* workers, int64_t blocks, int64_t elements,
                    const Body& body) {
  const int64_t count = worker_count(workers, blocks, elements);
  if (count == 1) {
    for (int64_t block = 0; block < blocks; ++block) body(0, block);
    return;
  }
  auto work = std::make_shared<Work>();
  work->blocks = blocks;
  work->body = &body;
  for (int64_t i = 1; i < count; ++i)
    workers->schedule(workers->pool, run_task, new std::shared_ptr<Work>(work));
  take_part(*work, 0);
  std::unique_lock<std::mutex> lock(work->mutex);
  work->finished.wait(lock, [&] { return work->done == blocks; });
}

Blocks::Place Blocks::find(int64_t block) const {
  const auto after = std::upper_bound(first_.begin(), first_.end(), block);
  const int64_t tensor = after - first_.begin() - 1;
  return {tensor, block - first_[tensor]};
}

}  // namespace kab

extern "C" const kab_workers* kab_own_threads(int64_t threads) {
  static kab_workers pool;
  const auto schedule = [](void*, void (*task)(void*), void* data) {
    std::thread(task, data).detach();
  };
  pool = {threads, schedule, nullptr};
  return &pool;
}
