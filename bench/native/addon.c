#define _POSIX_C_SOURCE 199309L
#include <time.h>

#include "kernels.h"
#include "node-api.h"

#define MOST_ARGS 8

static napi_value call(napi_env env, napi_callback_info info) {
  napi_value values[MOST_ARGS], result = NULL;
  struct arg args[MOST_ARGS];
  size_t count = MOST_ARGS;
  void *data;
  napi_get_cb_info(env, info, &count, values, NULL, &data);
  const struct entry *entry = data;
  if (count != entry->args) {
    napi_throw_type_error(env, NULL, "wrong number of arguments");
    return NULL;
  }
  for (size_t i = 0; i < count; i++) {
    _Bool array = 0;
    napi_is_typedarray(env, values[i], &array);
    napi_status status = array ? napi_get_typedarray_info(env, values[i], NULL, &args[i].length, &args[i].at, NULL, NULL)
                               : napi_get_value_double(env, values[i], &args[i].number);
    if (status) {
      napi_throw_type_error(env, NULL, "an argument is neither a typed array nor a number");
      return NULL;
    }
  }
  napi_create_double(env, entry->run(args), &result);
  return result;
}

static void list(napi_env env, napi_value exports, const struct entry *entry) {
  for (; entry->name; entry++) {
    napi_value function;
    napi_create_function(env, entry->name, (size_t)-1, call, (void *)entry, &function);
    napi_set_named_property(env, exports, entry->name, function);
  }
}

/* (): nanoseconds that this thread has run */
static double thread_time(const struct arg *a) {
  (void)a;
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static const struct entry clocks[] = {{"threadTime", 0, thread_time}, {0}};

__attribute__((visibility("default"))) int32_t node_api_module_get_api_version_v1(void) {
  return 8;
}

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  list(env, exports, clocks);
  list(env, exports, bitmap_kernels);
  list(env, exports, state_kernels);
  list(env, exports, pagetable_kernels);
  list(env, exports, dirty_kernels);
  list(env, exports, dma_kernels);
  return exports;
}
