// SPDX-License-Identifier: Apache-2.0
/*
 * PCI stand-ins: device types with the ids, class, BARs, link and capabilities of real cards,
 * added to QEMU by preloading this library.
 *
 * Stock QEMU devices have fixed vendor ids. Debian's QEMU exports its symbols (it loads
 * modules), so a preloaded library can register new device types. QEMU's headers are not
 * packaged: the declarations below are the binary interface of QEMU 7.2. Offsets in QEMU's
 * own structures are searched for and checked, never assumed; a mismatch ends QEMU with one
 * sentence.
 *
 * GPU_HOST_STANDINS names a file with one type a line, as words "key=value":
 *
 *   type=NAME        name for -device
 *   parent=TYPE      pci-device (a bare endpoint), or a stock device whose ids are replaced
 *   bus=express|conventional            bus of a bare endpoint
 *   vendor= device= class= revision= subvendor= subdevice=    numbers
 *   barN=BYTES:FLAGS FLAGS as in the low bits of a BAR: 0, 4 (64 bit), 8 (prefetchable), 12
 *   flr=1            function-level reset
 *   acs=OFFSET       access control services at this offset of the extended configuration space
 *   speed= width=    current link: 1 to 5 for 2.5 to 32 GT/s; lanes
 *   max_speed= max_width=               maximum of the device
 *   vfs=N vf_type=NAME vf_device=ID vf_barN=BYTES:FLAGS       SR-IOV physical function
 *   vf=1             SR-IOV virtual function
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

typedef void (*Realize)(void *device, void **error);
typedef void (*ConfigWrite)(void *device, uint32_t address, uint32_t value, int length);

/* QEMU's TypeInfo and InterfaceInfo. */
struct interface {
    const char *type;
};
struct type {
    const char *name;
    const char *parent;
    size_t instance_size;
    size_t instance_align;
    void (*instance_init)(void *);
    void (*instance_post_init)(void *);
    void (*instance_finalize)(void *);
    bool abstract;
    size_t class_size;
    void (*class_init)(void *class, void *data);
    void (*class_base_init)(void *class, void *data);
    void *class_data;
    const struct interface *interfaces;
};

/* From QEMU's PCIDeviceClass: the part that starts with the function "realize". */
struct pci_class {
    Realize realize;
    void (*exit)(void *device);
    uint32_t (*config_read)(void *device, uint32_t address, int length);
    ConfigWrite config_write;
    uint16_t vendor;
    uint16_t device;
    uint8_t revision;
    uint16_t class;
    uint16_t subvendor;
    uint16_t subdevice;
};

extern void *type_register_static(const struct type *);
extern void *object_class_by_name(const char *);
extern const char *object_get_typename(void *object);
extern uint32_t pci_default_read_config(void *device, uint32_t address, int length);
extern void pci_default_write_config(void *device, uint32_t address, uint32_t value, int length);
extern void pci_register_bar(void *device, int number, uint8_t flags, void *region);
extern void memory_region_init(void *region, void *owner, const char *name, uint64_t size);
extern int pcie_endpoint_cap_init(void *device, uint8_t offset);
extern void pcie_cap_flr_init(void *device);
extern void pcie_cap_flr_write_config(void *device, uint32_t address, uint32_t value, int length);
extern void pcie_acs_init(void *device, uint16_t offset);
extern void pcie_ari_init(void *device, uint16_t offset, uint16_t next_function);
extern void pcie_sriov_pf_init(void *device, uint16_t offset, const char *vf_type,
                               uint16_t vf_device, uint16_t initial, uint16_t total,
                               uint16_t vf_offset, uint16_t vf_stride);
extern void pcie_sriov_pf_init_vf_bar(void *device, int number, uint8_t flags, uint64_t size);
extern void pcie_sriov_vf_register_bar(void *device, int number, void *region);
extern void pcie_sriov_config_write(void *device, uint32_t address, uint32_t value, int length);

enum {
    BARS = 6,
    LINE = 1024,
    PCI_HEADER = 64,
    EXPRESS_AT = 0x80,
    ARI_AT = 0x100,
    SRIOV_AT = 0x140,
    /* Larger than QEMU's MemoryRegion (under 300 bytes). */
    REGION = 4096,
};

struct bar {
    uint64_t size;
    uint8_t flags;
};

struct standin {
    char line[LINE];
    const char *name, *parent, *vf_type;
    bool bare, express, flr, is_vf;
    uint16_t vendor, device, class, subvendor, subdevice, acs, vfs, vf_device;
    uint8_t revision, speed, width, max_speed, max_width;
    struct bar bars[BARS], vf_bars[BARS];
    Realize parent_realize;
    struct standin *next;
};

static struct standin *all;

static void __attribute__((noreturn, format(printf, 1, 2))) give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("stand-ins: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

/* Find the fields of a PCI device class to change, by the ids of QEMU's "edu" device. */
static size_t place_in_class(void)
{
    static size_t found;
    if (found) {
        return found;
    }
    char *edu = object_class_by_name("edu");
    if (!edu) {
        give_up("this QEMU has no device \"edu\" to find the place of the PCI ids by");
    }
    size_t last = malloc_usable_size(edu) - sizeof(struct pci_class);
    for (size_t place = 0; place <= last; place += sizeof(void *)) {
        struct pci_class *class = (struct pci_class *)(edu + place);
        Dl_info code;
        if (class->vendor == 0x1234 && class->device == 0x11e8 && class->revision == 0x10 &&
            class->class == 0xff && !class->config_read && !class->config_write &&
            dladdr((void *)class->realize, &code) && dladdr((void *)class->exit, &code)) {
            return found = place;
        }
    }
    give_up("this QEMU lays its PCI device classes out in another way than QEMU 7.2");
}

/* Find the device's configuration space: the pointer to what QEMU itself reads there. */
static uint8_t *config_space(void *device)
{
    uint32_t wanted[PCI_HEADER / 4], seen[PCI_HEADER / 4];
    for (int i = 0; i < PCI_HEADER / 4; i++) {
        wanted[i] = pci_default_read_config(device, i * 4, 4);
    }
    void **words = device;
    size_t count = malloc_usable_size(device) / sizeof(void *);
    for (size_t i = 0; i < count; i++) {
        /* The kernel reads the memory, since most words are no pointers. */
        struct iovec to = {seen, sizeof seen}, from = {words[i], sizeof seen};
        if (words[i] && process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof seen &&
            !memcmp(seen, wanted, sizeof seen)) {
            return words[i];
        }
    }
    give_up("no configuration space found in a %s", object_get_typename(device));
}

static void set_word(uint8_t *at, unsigned mask, unsigned value)
{
    uint16_t word;
    memcpy(&word, at, sizeof word);
    word = (word & ~mask) | (value & mask);
    memcpy(at, &word, sizeof word);
}

/* Write link capability and status (PCI Express Base Specification, 7.5.3.6 to 7.5.3.19). */
static void set_link(void *device, const struct standin *standin)
{
    uint8_t *config = config_space(device), *at = NULL;
    for (unsigned place = config[0x34]; place >= 0x40; place = config[place + 1]) {
        if (config[place] == 0x10) {
            at = config + place;
            break;
        }
    }
    if (!at) {
        give_up("%s has a link but no PCI Express capability", standin->name);
    }
    set_word(at + 0x0c, 0x3ff, standin->max_width << 4 | standin->max_speed);
    set_word(at + 0x12, 0x3ff, standin->width << 4 | standin->speed);
    set_word(at + 0x2c, 0xfe, (1 << (standin->max_speed + 1)) - 2);
    set_word(at + 0x30, 0xf, standin->max_speed);
}

static struct standin *standin_of(void *device)
{
    const char *name = object_get_typename(device);
    for (struct standin *standin = all; standin; standin = standin->next) {
        if (!strcmp(standin->name, name)) {
            return standin;
        }
    }
    give_up("%s is none of ours", name);
}

static void write_config(void *device, uint32_t address, uint32_t value, int length)
{
    const struct standin *standin = standin_of(device);
    pci_default_write_config(device, address, value, length);
    if (standin->flr) {
        pcie_cap_flr_write_config(device, address, value, length);
    }
    if (standin->vfs) {
        pcie_sriov_config_write(device, address, value, length);
    }
}

static void register_bars(void *device, const struct standin *standin)
{
    for (int number = 0; number < BARS; number++) {
        const struct bar *bar = &standin->bars[number];
        if (!bar->size) {
            continue;
        }
        /* Address space without memory behind it, so that its size costs nothing. */
        void *region = calloc(1, REGION);
        char name[16];
        snprintf(name, sizeof name, "bar%d", number);
        memory_region_init(region, device, name, bar->size);
        if (standin->is_vf) {
            pcie_sriov_vf_register_bar(device, number, region);
        } else {
            pci_register_bar(device, number, bar->flags, region);
        }
    }
}

static void realize(void *device, void **error)
{
    const struct standin *standin = standin_of(device);
    if (!standin->bare) {
        standin->parent_realize(device, error);
        if (*error) {
            return;
        }
    } else if (standin->express && pcie_endpoint_cap_init(device, EXPRESS_AT) < 0) {
        give_up("%s got no PCI Express capability", standin->name);
    }
    if (standin->flr) {
        pcie_cap_flr_init(device);
    }
    if (standin->acs) {
        pcie_acs_init(device, standin->acs);
    }
    if (standin->vfs || standin->is_vf) {
        pcie_ari_init(device, ARI_AT, 1);
    }
    if (standin->vfs) {
        pcie_sriov_pf_init(device, SRIOV_AT, standin->vf_type, standin->vf_device, standin->vfs,
                           standin->vfs, 1, 1);
        for (int number = 0; number < BARS; number++) {
            const struct bar *bar = &standin->vf_bars[number];
            if (bar->size) {
                pcie_sriov_pf_init_vf_bar(device, number, bar->flags, bar->size);
            }
        }
    }
    register_bars(device, standin);
    if (standin->max_speed) {
        set_link(device, standin);
    }
}

static void class_init(void *object_class, void *data)
{
    struct standin *standin = data;
    struct pci_class *class = (struct pci_class *)((char *)object_class + place_in_class());
    standin->parent_realize = class->realize;
    class->realize = realize;
    if (standin->bare) {
        class->config_write = write_config;
    }
    if (standin->vendor) {
        class->vendor = standin->vendor;
        class->device = standin->device;
        class->revision = standin->revision;
        class->class = standin->class;
        class->subvendor = standin->subvendor;
        class->subdevice = standin->subdevice;
    }
}

static void set_bar(const char *name, struct bar *bars, unsigned number, char *value)
{
    char *flags = strchr(value, ':');
    if (number >= BARS || !flags) {
        give_up("%s: a BAR must read barN=BYTES:FLAGS", name);
    }
    bars[number].size = strtoull(value, NULL, 0);
    bars[number].flags = strtoul(flags + 1, NULL, 0);
}

static void set(struct standin *standin, const char *key, char *value)
{
    unsigned long number = strtoul(value, NULL, 0);
    if (!strcmp(key, "type")) {
        standin->name = value;
    } else if (!strcmp(key, "parent")) {
        standin->parent = value;
        standin->bare = !strcmp(value, "pci-device");
    } else if (!strcmp(key, "bus")) {
        standin->express = !strcmp(value, "express");
    } else if (!strcmp(key, "vf_type")) {
        standin->vf_type = value;
    } else if (!strncmp(key, "bar", 3)) {
        set_bar(standin->name, standin->bars, key[3] - '0', value);
    } else if (!strncmp(key, "vf_bar", 6)) {
        set_bar(standin->name, standin->vf_bars, key[6] - '0', value);
#define FIELD(word, field)              \
    }                                   \
    else if (!strcmp(key, word)) {      \
        standin->field = number;
        FIELD("vendor", vendor)
        FIELD("device", device)
        FIELD("class", class)
        FIELD("revision", revision)
        FIELD("subvendor", subvendor)
        FIELD("subdevice", subdevice)
        FIELD("flr", flr)
        FIELD("acs", acs)
        FIELD("speed", speed)
        FIELD("width", width)
        FIELD("max_speed", max_speed)
        FIELD("max_width", max_width)
        FIELD("vfs", vfs)
        FIELD("vf_device", vf_device)
        FIELD("vf", is_vf)
#undef FIELD
    } else {
        give_up("unknown key %s", key);
    }
}

static void add(struct standin *standin)
{
    static const struct interface express[] = {{"pci-express-device"}, {NULL}};
    static const struct interface conventional[] = {{"conventional-pci-device"}, {NULL}};
    char *rest = NULL;
    for (char *word = strtok_r(standin->line, " \n", &rest); word;
         word = strtok_r(NULL, " \n", &rest)) {
        char *value = strchr(word, '=');
        if (!value) {
            give_up("%s is not of the form key=value", word);
        }
        *value = '\0';
        set(standin, word, value + 1);
    }
    if (!standin->name || !standin->parent) {
        give_up("a line without a type or a parent");
    }
    struct type type = {
        .name = standin->name,
        .parent = standin->parent,
        .class_init = class_init,
        .class_data = standin,
        .interfaces = !standin->bare ? NULL : standin->express ? express : conventional,
    };
    type_register_static(&type);
    standin->next = all;
    all = standin;
}

static void __attribute__((constructor)) add_all(void)
{
    const char *path = getenv("GPU_HOST_STANDINS");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) {
        give_up("GPU_HOST_STANDINS must name the file of stand-ins");
    }
    for (;;) {
        struct standin *standin = calloc(1, sizeof *standin);
        if (!standin || !fgets(standin->line, LINE, file)) {
            free(standin);
            break;
        }
        add(standin);
    }
    fclose(file);
}
