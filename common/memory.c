#include "common/memory.h"

#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    ARENAS = 2,      /* threads that allocate at once seldom are more: few large blocks, pooled */
    EVERY_MS = 1000, /* under load what is given back is soon wanted again: 1 ms of CPU each time */
    WORTH_BYTES = 6 << 20,
    TRIM_BYTES = 8 << 20, /* free() leaves that much to memory_keep(), which does it less often */
    MMAP_BYTES = 1 << 20, /* such blocks, bodies of large requests, are mapped, each by itself */
};

void memory_setup(void)
{
    mallopt(M_ARENA_MAX, ARENAS);
    mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
    mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
}

/* Pages of code and tables that are wanted again come back from the page cache. */
static int drop_pages(struct dl_phdr_info *info, size_t size, void *context)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    (void)size;
    (void)context;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || (part->p_flags & PF_W) != 0 || info->dlpi_addr == 0)
            continue;
        uintptr_t from = (info->dlpi_addr + part->p_vaddr) / page * page;
        uintptr_t to = info->dlpi_addr + part->p_vaddr + part->p_memsz;
        /* refused, say by a sandbox: then they stay */
        (void)madvise((void *)from, to - from, MADV_DONTNEED);
    }
    return 0;
}

void memory_keep(struct memory_keeper *keeper, uint64_t now_ms)
{
    if (now_ms < keeper->next_ms)
        return;
    keeper->next_ms = now_ms + EVERY_MS;
    if (!keeper->unlinked)
        dl_iterate_phdr(drop_pages, NULL);
    keeper->unlinked = true;
    if (mallinfo2().fordblks >= WORTH_BYTES)
        malloc_trim(0);
}
