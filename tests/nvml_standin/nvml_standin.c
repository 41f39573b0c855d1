/* A stand-in for the driver's libnvidia-ml.so.1: its GPUs follow a text file.
 *
 * LFADSQ_STANDIN_GPUS names the file, which is read again at every call. Lines (see standin.py):
 *
 *   driver init=0 old=0 hides=0 pid_offset=0 era=0
 *   gpu uuid=U total=MB used=MB reserved=MB mode=0 error=0 era=0 mig=0 util=0 power=W limit=W
 *       temp=C name=the rest                all on one line; util, power, limit, temp -1: not told
 *   part uuid=U index=N gi=N ci=N total=MB used=MB reserved=MB        of the gpu above it
 *   process pid=N mb=MB                                of the gpu or part above it; -1: not told
 *
 * Besides, each file <file>.taken/<uuid>/<pid> is a process that has taken as many MB as it says,
 * for as long as it lives. Symbols, structures and protocols are those that nvidia-ml-py calls.
 */
#include <dirent.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    FUNCTION_NOT_FOUND = 13,
    GPU_IS_LOST = 15,
    ARGUMENT_VERSION_MISMATCH = 25,
};
enum { MAX_GPUS = 64, MAX_PARTS = 8, MAX_PROCESSES = 256, MAX_ERAS = 1000 };
static const unsigned long long MB = 1024 * 1024;

typedef struct {
    unsigned pid;
    double mb;
} Process;

typedef struct {
    char uuid[96];
    char name[96];
    double total, used, reserved;
    int mode, error, era, mig, util, power, limit, temp;
    int is_part, index, gi, ci;
    int num_parts, parts[MAX_PARTS]; /* places in Machine.devices */
    int num_processes;
    Process processes[MAX_PROCESSES];
} Device;

typedef struct {
    int init, old, hides, pid_offset, era;
    int num_gpus, gpus[MAX_GPUS]; /* places in devices */
    int num_devices;
    Device devices[MAX_GPUS * 3]; /* the last, not cleared with the others */
} Machine;

/* As in nvml.h. */
typedef struct {
    unsigned long long total, free, used;
} Memory;
typedef struct {
    unsigned version;
    unsigned long long total, reserved, free, used;
} Memory2;
typedef struct {
    unsigned pid;
    unsigned long long used;
    unsigned gi, ci;
} ProcessInfo;
typedef struct {
    unsigned gpu, memory;
} Utilization;

static __thread Machine machine;
static int num_open, opened_in_era;

/* Give what follows " key=" in a line, up to the next blank (the whole rest for the name). */
static const char *text_of(const char *line, const char *key, char *into, size_t size) {
    char sought[32];
    snprintf(sought, sizeof sought, " %s=", key);
    const char *at = strstr(line, sought);
    into[0] = 0;
    if (at) {
        at += strlen(sought);
        size_t length = strcspn(at, strcmp(key, "name") ? " \n" : "\n");
        if (length >= size) length = size - 1;
        memcpy(into, at, length);
        into[length] = 0;
    }
    return into;
}

static double number_of(const char *line, const char *key) {
    char text[32];
    return atof(text_of(line, key, text, sizeof text));
}

static int is_alive(long pid) {
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    char *read = fgets(line, sizeof line, file);
    fclose(file);
    const char *after = read ? strrchr(line, ')') : NULL;
    return after && after[1] == ' ' && after[2] != 'Z' && after[2] != 'X';
}

static void add_process(Device *device, unsigned pid, double mb) {
    if (device->num_processes < MAX_PROCESSES)
        device->processes[device->num_processes++] = (Process){pid, mb};
}

static void add_takers(Device *device, const char *file) {
    char folder[PATH_MAX], path[PATH_MAX + 300];
    snprintf(folder, sizeof folder, "%s.taken/%s", file, device->uuid);
    DIR *listing = opendir(folder);
    if (!listing) return;
    for (struct dirent *entry; (entry = readdir(listing));) {
        long pid = atol(entry->d_name);
        if (pid <= 0 || !is_alive(pid)) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *taken = fopen(path, "r");
        double mb = 0;
        if (taken) {
            if (fscanf(taken, "%lf", &mb) != 1) mb = 0;
            fclose(taken);
            add_process(device, (unsigned)pid, mb);
            device->used += mb;
        }
    }
    closedir(listing);
}

static void read_machine(void) {
    const char *file = getenv("LFADSQ_STANDIN_GPUS");
    char line[1024];
    memset(&machine, 0, offsetof(Machine, devices));
    FILE *stream = file ? fopen(file, "r") : NULL;
    if (!stream) {
        machine.init = 9; /* driver not loaded */
        return;
    }
    Device *gpu = NULL, *device = NULL;
    while (fgets(line, sizeof line, stream)) {
        int is_gpu = !strncmp(line, "gpu ", 4), is_part = !strncmp(line, "part ", 5);
        if (!strncmp(line, "driver ", 7)) {
            machine.init = number_of(line, "init");
            machine.old = number_of(line, "old");
            machine.hides = number_of(line, "hides");
            machine.pid_offset = number_of(line, "pid_offset");
            machine.era = number_of(line, "era");
        } else if (!strncmp(line, "process ", 8) && device) {
            add_process(device, number_of(line, "pid"), number_of(line, "mb"));
        } else if (is_gpu || (is_part && gpu && gpu->num_parts < MAX_PARTS)) {
            if (machine.num_devices == MAX_GPUS * 3 || machine.num_gpus == MAX_GPUS) break;
            device = &machine.devices[machine.num_devices];
            memset(device, 0, offsetof(Device, processes));
            if (is_gpu) {
                machine.gpus[machine.num_gpus++] = machine.num_devices;
                gpu = device;
            } else {
                gpu->parts[gpu->num_parts++] = machine.num_devices;
                device->error = gpu->error;
                device->is_part = 1;
            }
            machine.num_devices++;
            text_of(line, "uuid", device->uuid, sizeof device->uuid);
            text_of(line, "name", device->name, sizeof device->name);
            device->total = number_of(line, "total");
            device->used = number_of(line, "used");
            device->reserved = number_of(line, "reserved");
            device->mode = number_of(line, "mode");
            if (is_gpu) device->error = number_of(line, "error");
            device->era = is_gpu ? number_of(line, "era") : gpu->era;
            device->mig = number_of(line, "mig");
            device->util = number_of(line, "util");
            device->power = number_of(line, "power");
            device->limit = number_of(line, "limit");
            device->temp = number_of(line, "temp");
            device->index = number_of(line, "index");
            device->gi = number_of(line, "gi");
            device->ci = number_of(line, "ci");
        }
    }
    fclose(stream);
    for (int i = 0; i < machine.num_devices; i++) add_takers(&machine.devices[i], file);
}

/* A handle is no pointer, but a place and the era of the GPU: after its reset old ones are void.
 * After the driver itself was loaded anew (its era), nothing answers who has not opened it anew. */
static void *handle_of(int place) {
    return (void *)(uintptr_t)((place + 1) * MAX_ERAS + machine.devices[place].era);
}

static int find(void *handle, Device **device) {
    if (!num_open) return UNINITIALIZED;
    read_machine();
    uintptr_t place = (uintptr_t)handle / MAX_ERAS - 1;
    if (place >= (uintptr_t)machine.num_devices) return INVALID_ARGUMENT;
    *device = &machine.devices[place];
    if (machine.era != opened_in_era) return GPU_IS_LOST;
    if ((*device)->error) return (*device)->error;
    return handle == handle_of((int)place) ? SUCCESS : INVALID_ARGUMENT;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    read_machine();
    if (machine.init) return machine.init;
    if (!num_open++) opened_in_era = machine.era;
    return SUCCESS;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    if (!num_open) return UNINITIALIZED;
    num_open--;
    return SUCCESS;
}

/* For tests only: whether everything opened was closed. */
int standin_num_open(void) { return num_open; }

const char *nvmlErrorString(int result) {
    static __thread char text[32];
    snprintf(text, sizeof text, "stand-in error %d", result);
    return text;
}

int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    snprintf(version, length, "0.0 (stand-in)");
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    if (!num_open) return UNINITIALIZED;
    read_machine();
    *count = machine.num_gpus;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    if (!num_open) return UNINITIALIZED;
    read_machine();
    if (index >= (unsigned)machine.num_gpus) return INVALID_ARGUMENT;
    int place = machine.gpus[index];
    *handle = handle_of(place);
    return machine.era != opened_in_era ? GPU_IS_LOST : machine.devices[place].error;
}

int nvmlDeviceGetUUID(void *handle, char *uuid, unsigned length) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    if (strlen(device->uuid) >= length) return INSUFFICIENT_SIZE;
    strcpy(uuid, device->uuid);
    return SUCCESS;
}

int nvmlDeviceGetName(void *handle, char *name, unsigned length) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    if (strlen(device->name) >= length) return INSUFFICIENT_SIZE;
    strcpy(name, device->name);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *handle, Memory *memory) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    memory->total = device->total * MB;
    memory->used = (device->used + device->reserved) * MB; /* version 1 counts it as used */
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(void *handle, Memory2 *memory) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    if (machine.old) return FUNCTION_NOT_FOUND;
    if (memory->version != (sizeof(Memory2) | 2 << 24)) return ARGUMENT_VERSION_MISMATCH;
    memory->total = device->total * MB;
    memory->reserved = device->reserved * MB;
    memory->used = device->used * MB;
    memory->free = memory->total - memory->reserved - memory->used;
    return SUCCESS;
}

static int list_processes(void *handle, unsigned *count, ProcessInfo *infos) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    unsigned room = *count, num = machine.hides ? 0 : device->num_processes;
    *count = num;
    if (num > room) return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < num; i++) {
        Process process = device->processes[i];
        infos[i].pid = process.pid + machine.pid_offset;
        infos[i].used = process.mb < 0 ? ULLONG_MAX : (unsigned long long)(process.mb * MB);
        infos[i].gi = device->is_part ? (unsigned)device->gi : UINT_MAX;
        infos[i].ci = device->is_part ? (unsigned)device->ci : UINT_MAX;
    }
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v2(void *handle, unsigned *count, ProcessInfo *infos) {
    return list_processes(handle, count, infos);
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, ProcessInfo *infos) {
    read_machine();
    return machine.old ? FUNCTION_NOT_FOUND : list_processes(handle, count, infos);
}

int nvmlDeviceGetComputeMode(void *handle, int *mode) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    if (device->is_part) return NOT_SUPPORTED;
    *mode = device->mode;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *handle, Utilization *utilization) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    if (device->is_part || device->util < 0) return NOT_SUPPORTED;
    *utilization = (Utilization){device->util, device->util / 2};
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    if (device->is_part || device->power < 0) return NOT_SUPPORTED;
    *milliwatts = device->power * 1000;
    return SUCCESS;
}

int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *milliwatts) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    if (device->is_part || device->limit < 0) return NOT_SUPPORTED;
    *milliwatts = device->limit * 1000;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    if (sensor) return INVALID_ARGUMENT;
    if (device->is_part || device->temp < 0) return NOT_SUPPORTED;
    *celsius = device->temp;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    if (device->is_part || strstr(device->name, "TITAN")) return NOT_SUPPORTED;
    *current = *pending = device->mig;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    *count = device->mig ? MAX_PARTS - 1 : 0;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **part) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    for (int i = 0; device->mig && i < device->num_parts; i++)
        if (machine.devices[device->parts[i]].index == (int)index) {
            *part = handle_of(device->parts[i]);
            return SUCCESS;
        }
    return NOT_FOUND;
}

int nvmlDeviceGetGpuInstanceId(void *handle, unsigned *id) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    *id = device->gi;
    return device->is_part ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetComputeInstanceId(void *handle, unsigned *id) {
    Device *device;
    int problem = find(handle, &device);
    if (problem) return problem;
    *id = device->ci;
    return device->is_part ? SUCCESS : NOT_SUPPORTED;
}
