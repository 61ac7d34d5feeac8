"""Turns the rows of each section of a survey into the fields of ``Survey`` they stand for."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from metis_provision.model.survey import (
    Account,
    Attempt,
    Boot,
    Certificate,
    CommandResult,
    Counted,
    DkmsBuild,
    Driver,
    FailedBuild,
    FileState,
    Generator,
    Holder,
    Host,
    ImageItem,
    InitramfsImage,
    InitramfsState,
    JobState,
    Kernel,
    LinkSeen,
    Load,
    ModuleFile,
    ModuleTrust,
    Node,
    PackageLock,
    Past,
    PciFunction,
    Pipeline,
    RuleLine,
    Section,
    Server,
    ServiceState,
    Sleep,
    SourceTree,
    Temperatures,
)
from metis_provision.survey.formats import (
    bar_size,
    df_available,
    number,
    parse_config,
    parse_dkms_line,
    parse_os_release,
)
from metis_provision.survey.next_boot import Loaders, Menu, MenuEntry, next_boot
from metis_provision.survey.tools import parse_temperatures
from metis_provision.survey.trust import (
    parse_certificates,
    parse_kernel_key,
    parse_openssl,
    secure_boot_state,
    serial_number,
)

Row = tuple[str, ...]
Complain = Callable[[str], None]
Fields = dict[str, Any]

_BDF = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", re.ASCII)
_HEX_ID = re.compile(r"0x[0-9a-f]{4,6}", re.ASCII)
_FILE_KINDS = frozenset({"file", "link", "directory", "other", "absent"})
_RESULTS = frozenset({"ok", "denied", "busy", "absent", "error"})
_LONGEST_ERROR = 300
_DMA_HEAP = "/dev/dma_heap/system"


class Rows:
    """The rows of one section by their first field; what nobody asked for or has too few fields is complained of."""

    def __init__(self, rows: Iterable[Row], complain: Complain) -> None:
        self._rows: dict[str, list[Row]] = {}
        self._complain = complain
        for row in rows:
            self._rows.setdefault(row[0], []).append(row[1:])

    def take(self, key: str, fields: int) -> list[Row]:
        """Return the rows of ``key``, each filled up with empty fields or cut to ``fields``."""
        return [(row + ("",) * fields)[:fields] for row in self._rows.pop(key, [])]

    def first(self, key: str) -> str | None:
        """Return the first field of the first row of ``key``; None if there is none or it is empty."""
        rows = self.take(key, 1)
        return rows[0][0] or None if rows else None

    def flag(self, key: str) -> bool:
        """Whether there is a row of ``key``."""
        return self._rows.pop(key, None) is not None

    def refuse(self, key: str, row: Row) -> None:
        """Complain of a row whose fields make no sense."""
        self._complain("\t".join((key, *row)))

    def end(self) -> None:
        """Complain of every row that was not taken."""
        for key, rows in self._rows.items():
            for row in rows:
                self.refuse(key, row)


# ---- host


def read_host(rows: Rows) -> Fields:
    """``host`` and ``trust``."""
    container = rows.first("container")
    spoken = [line for (line,) in (*rows.take("secure_boot_log", 1), *rows.take("mok_state", 1))]
    secure_boot = _secure_boot(rows.first("efi"), rows.first("secure_boot"), spoken, container)
    return {
        "trust": _trust(rows, spoken),
        "host": Host(
            os_release=parse_os_release(line for (line,) in rows.take("os_release", 1)),
            rpi_issue=rows.flag("rpi_issue"),
            architecture=rows.first("architecture") or "",
            userland=rows.first("userland"),
            model=rows.first("model"),
            init=_init(rows.take("init", 2)),
            container=container,
            boot_id=rows.first("boot_id"),
            epoch=_number(rows.first("epoch")),
            uid=_number(rows.first("uid")),
            page_size=_number(rows.first("page_size")),
            free_kib=_free_space(rows),
            writable={path: how == "yes" for path, how in rows.take("writable", 2) if how in {"yes", "no"}},
            package_locks=_package_locks(rows),
            tools={name: path for name, path in rows.take("tool", 2) if name and path},
            secure_boot=secure_boot,
        ),
    }


def _package_locks(rows: Rows) -> tuple[PackageLock, ...] | None:
    held = []
    for path, pid, command in rows.take("package_lock", 3):
        if (process := _number(pid)) is None:
            rows.refuse("package_lock", (path, pid, command))
        else:
            held.append(PackageLock(path, process, command))
    return tuple(held) if rows.flag("package_locks") else None


def _init(rows: list[Row]) -> str:
    comm, link = rows[0] if rows else ("", "")
    if comm in {"systemd", "openrc"}:
        return comm
    if comm == "openrc-init":
        return "openrc"
    if link.rpartition("/")[2] == "busybox":
        return "busybox"
    return "sysvinit" if comm == "init" and not link.endswith("systemd") else "unknown"


def _free_space(rows: Rows) -> Mapping[str, int]:
    directories = [name for (name,) in rows.take("space_of", 1)]
    lines = rows.take("space", 1)
    free = [available for (line,) in lines if (available := df_available(line)) is not None]
    if len(free) != len(directories):
        # One of them could not be asked, and df's lines do not say which directory they answer for.
        for line in lines:
            rows.refuse("space", line)
        return {}
    return dict(zip(directories, free, strict=True))


def _secure_boot(efi: str | None, variable: str | None, spoken: list[str], container: str | None) -> bool | None:
    if container is not None:
        return None
    if efi == "no":
        return False
    # Four bytes of attributes, one of value (UEFI 2.10, section 8.2).
    octets = (variable or "").split()
    return octets[4] == "1" if len(octets) == 5 else secure_boot_state(spoken)


def _trust(rows: Rows, spoken: list[str]) -> ModuleTrust | None:
    enforce, lockdown = rows.first("sig_enforce"), rows.first("lockdown")
    held = re.search(r"\[(none|integrity|confidentiality)\]", lockdown or "")
    listed = {name for (name,) in rows.take("mok_listed", 1)}
    lines: dict[str, list[str]] = {}
    for name, line in rows.take("mok", 2):
        lines.setdefault(name, []).append(line)
    keys_listed = rows.flag("keys_listed")
    kernel_keys = [key for (line,) in rows.take("kernel_key", 1) if (key := parse_kernel_key(line))]
    own_path, own_sum = next(iter(rows.take("own_key", 2)), ("", ""))
    own_text = [line for (line,) in rows.take("own_key_text", 1)]
    trust = ModuleTrust(
        sig_enforce=None if enforce is None else enforce == "Y",
        lockdown=held[1] if held else None,
        shim_validates=False if any("validation is disabled" in line for line in spoken) else None,
        enrolled=_listed(lines, "enrolled") if "enrolled" in listed else None,
        staged=_listed(lines, "new") if "new" in listed else None,
        kernel_keys=tuple(kernel_keys) if keys_listed else None,
        own=parse_openssl(own_text, own_sum) if own_path else None,
        own_path=own_path or None,
    )
    return trust if trust != ModuleTrust() else None


def _listed(lines: Mapping[str, list[str]], name: str) -> tuple[Certificate, ...] | None:
    """The certificates that mokutil listed; None where it says that this host has no such list."""
    said = lines.get(name, [])
    return None if any("not supported" in line for line in said) else parse_certificates(said)


# ---- kernels


def read_kernels(rows: Rows) -> Fields:
    """``kernels`` and ``next_boot``."""
    running = rows.first("running")
    releases = dict.fromkeys(release for (release,) in rows.take("kernel", 1) if release)
    on_disk = tuple(releases)
    if running:
        releases.setdefault(running)
    headers = {release for (release,) in rows.take("headers", 1)}
    paths = dict(_pairs(rows, "module"))
    info = {(release, key): value for release, key, value in rows.take("modinfo", 3)}
    signed = dict(_pairs(rows, "signed"))
    heaps = dict(_pairs(rows, "heaps"))
    return {
        "next_boot": next_boot(on_disk, _loaders(rows)),
        "kernels": tuple(
            Kernel(
                release=release,
                running=release == running,
                headers=release in headers,
                module_path=paths.get(release),
                module_version=info.get((release, "version:")) or None,
                vermagic=info.get((release, "vermagic:"), "").strip() or None,
                dmabuf_heaps=heaps[release].endswith("=y") if release in heaps else None,
                srcversion=info.get((release, "srcversion:")) or None,
                signed={"yes": True, "no": False}.get(signed.get(release, "")),
                signer=info.get((release, "signer:")) or None,
                signing_key=serial_number(info.get((release, "sig_key:"), "")),
            )
            for release in releases
        ),
    }


def _loaders(rows: Rows) -> Loaders:
    """What the files of the boot loaders say, sorted by loader."""
    entries, defaults = [], []
    for (line,) in rows.take("grub_line", 1):
        kind, _, rest = line.partition(" ")
        fields = rest.split("|")
        if kind == "default":
            defaults.append(rest)
        elif kind == "entry" and len(fields) == 4:
            entries.append(MenuEntry(*fields))
        else:
            rows.refuse("grub_line", (line,))
    environment = dict(line.split("=", 1) for (line,) in rows.take("grub_env", 1) if "=" in line)
    return Loaders(
        flavours={flavour: release for release, flavour in _pairs(rows, "flavour")},
        efi=rows.first("loader"),
        bootctl=tuple(line for (line,) in rows.take("bootctl", 1)),
        firmware=next(iter(_pairs(rows, "firmware")), None),
        grub=Menu(
            path=rows.first("grub"),
            entries=tuple(entries),
            defaults=tuple(defaults),
            environment=environment,
            own_menu=rows.flag("grub_custom"),
            bls=tuple(rows.take("bls_entry", 3)) if rows.flag("bls") else None,
        ),
        extlinux=rows.first("extlinux"),
        extlinux_lines=tuple(line for (line,) in rows.take("extlinux_line", 1)),
        links=dict(_pairs(rows, "image_link")),
    )


# ---- pci


def read_pci(rows: Rows) -> Fields:
    """``pci``: None on a host without a PCI bus to look at."""
    absent = rows.flag("no_pci")
    by_bdf: dict[str, dict[str, Row]] = {}
    bars: dict[str, list[Row]] = {}
    for row in rows.take("pci", 6):
        bdf, attribute, *values = row
        if not _BDF.fullmatch(bdf):
            rows.refuse("pci", row)
        elif attribute == "bar":
            bars.setdefault(bdf, []).append(tuple(values))
        else:
            by_bdf.setdefault(bdf, {})[attribute] = tuple(values)
    functions = []
    for bdf, attributes in by_bdf.items():
        function = _function(bdf, attributes, bars.get(bdf, []))
        if function is None:
            rows.refuse("pci", (bdf, *attributes))
        else:
            functions.append(function)
    return {"pci": None if absent else tuple(functions)}


def _function(bdf: str, attributes: Mapping[str, Row], bars: list[Row]) -> PciFunction | None:
    vendor, device, class_code = attributes.get("id", ("", "", ""))[:3]
    if not all(_HEX_ID.fullmatch(text) for text in (vendor, device, class_code)):
        return None

    def text(name: str) -> str:
        return attributes.get(name, ("",))[0]

    config = parse_config(_octets(text("config")))
    revision = number(text("revision"), 16)
    return PciFunction(
        bdf=bdf,
        vendor=vendor[2:],
        device=device[2:],
        class_code=class_code[2:].rjust(6, "0"),
        revision=None if revision is None else f"{revision:02x}",
        driver=text("driver") or None,
        current_speed=_speed(text("current_link_speed")),
        current_width=_width(text("current_link_width")),
        max_speed=_speed(text("max_link_speed")),
        max_width=_width(text("max_link_width")),
        path=tuple(hop for hop in text("path").split() if _BDF.fullmatch(hop)),
        bars=_bars(bars),
        config_reads_ff=config.reads_ff,
        max_payload=config.max_payload,
        max_read_request=config.max_read_request,
    )


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _speed(text: str) -> float | None:
    found = re.match(r"(\d{1,3}(?:\.\d{1,3})?) GT/s", text, re.ASCII)
    return float(found[1]) if found else None


def _width(text: str) -> int | None:
    # 0 and 255 are what sysfs says where there is no link.
    width = number(text)
    return width if width is not None and 0 < width < 255 else None


def _bars(rows: list[Row]) -> tuple[int, ...]:
    sizes: dict[int, int] = {}
    for index_text, *range_texts in rows:
        index = number(index_text)
        values = [number(text, 16) for text in range_texts[:3]]
        if index is not None and 0 <= index < 6 and len(values) == 3 and None not in values:
            start, end, flags = (value or 0 for value in values)
            sizes[index] = bar_size(start, end, flags)
    return tuple(sizes.get(index, 0) for index in range(6)) if sizes else ()


# ---- driver, nodes


def read_driver(rows: Rows) -> Fields:
    """``driver``."""
    return {
        "driver": Driver(
            loaded=rows.flag("loaded"),
            version=rows.first("version"),
            srcversion=rows.first("srcversion"),
            bound=tuple(bdf for (bdf,) in rows.take("bound", 1) if _BDF.fullmatch(bdf)),
            parameters=dict(_pairs(rows, "parameter")),
        )
    }


def read_nodes(rows: Rows) -> Fields:
    """``nodes``, ``dma_heap`` and ``pipeline``."""
    unseen = rows.flag("holders_unseen")
    stats = {path: (mode, owner, group) for path, mode, owner, group in rows.take("stat", 4)}
    links: dict[str, list[str]] = {}
    for path, link in _pairs(rows, "link"):
        links.setdefault(path, []).append(link)
    holders: dict[str, list[Holder]] = {}
    for row in rows.take("holder", 4):
        path, pid, user, command = row
        process = number(pid)
        if process is None:
            rows.refuse("holder", row)
        else:
            holders.setdefault(path, []).append(Holder(process, command.strip(), user))

    def node(path: str, device_class: str, bdf: str) -> Node:
        mode, owner, group = stats.get(path, ("", "", ""))
        return Node(
            path=path,
            bdf=bdf if _BDF.fullmatch(bdf) else None,
            device_class=device_class,
            owner=owner,
            group=group,
            mode=_mode(mode) or "",
            links=tuple(sorted(links.get(path, []))),
            holders=tuple(sorted(holders.get(path, []), key=lambda holder: holder.pid)),
            holders_known=not unseen,
        )

    nodes = tuple(node(*row) for row in rows.take("node", 3) if row[0])
    heap = node(_DMA_HEAP, "dma_heap", "") if _DMA_HEAP in stats else None
    return {"nodes": nodes, "dma_heap": heap, "pipeline": _pipeline(rows)}


def _pipeline(rows: Rows) -> Pipeline | None:
    seen = rows.flag("pipeline_seen")
    found = {key: tuple(name for (name,) in rows.take(key, 1)) for key in ("render", "vaapi", "opencl")}
    return Pipeline(found["render"], found["vaapi"], found["opencl"]) if seen else None


# ---- dkms, accounts, files, packages


def read_dkms(rows: Rows) -> Fields:
    """``dkms``, None where it is not installed, and ``failed_builds``."""
    absent = rows.flag("absent")
    rows.flag("present")
    builds = []
    for (line,) in rows.take("status", 1):
        build = parse_dkms_line(line)
        if build is not None:
            builds.append(build)
        elif line.strip():
            rows.refuse("status", (line,))
    broken = {version for (version,) in rows.take("broken", 1)}
    builds = [build for build in builds if build.version not in broken]
    builds += [DkmsBuild("metis", version, None, None, "broken") for version in sorted(broken)]
    failed = tuple(
        FailedBuild(version, kernel or None, log, error[:_LONGEST_ERROR].strip())
        for version, kernel, log, error in rows.take("failed_build", 4)
        if version and error.strip()
    )
    return {"dkms": None if absent else tuple(builds), "failed_builds": failed}


def read_accounts(rows: Rows) -> Fields:
    """``users`` and ``groups``."""
    memberships: dict[str, list[str]] = {}
    for user, names in _pairs(rows, "member"):
        memberships.setdefault(user, []).extend(names.split())
    users = {}
    for row in rows.take("user", 1):
        name, identity, _ = _account(row[0])
        if identity is None:
            rows.refuse("user", row)
        else:
            users[name] = Account(name, identity, groups=tuple(dict.fromkeys(memberships.get(name, []))))
    groups = {}
    for row in rows.take("group", 1):
        name, identity, rest = _account(row[0])
        if identity is None:
            rows.refuse("group", row)
        else:
            members = tuple(member for member in rest.split(",") if member)
            groups[name] = Account(name, identity, members=members)
    return {"users": users, "groups": groups}


def _account(entry: str) -> tuple[str, int | None, str]:
    name, _, identity, rest, *_ = (*entry.split(":"), "", "", "", "")
    return name, number(identity) if name else None, rest


def read_files(rows: Rows) -> Fields:
    """``files``: a path that could not be looked at is not in it."""
    stats = {path: (mode, owner, group) for path, mode, owner, group in rows.take("stat", 4)}
    targets = dict(_pairs(rows, "target"))
    sums = dict(_pairs(rows, "sha256"))
    found = {}
    for row in rows.take("file", 2):
        path, kind = row
        if kind not in _FILE_KINDS:
            rows.refuse("file", row)
            continue
        mode, owner, group = stats.get(path, ("", "", ""))
        digest = sums.get(path, "")
        found[path] = FileState(
            path=path,
            kind=kind,
            sha256=digest if re.fullmatch(r"[0-9a-f]{64}", digest) else None,
            mode=_mode(mode),
            owner=owner or None,
            group=group or None,
            target=targets.get(path),
        )
    return {"files": found}


def read_packages(rows: Rows) -> Fields:
    """``packages``, ``package_manager`` and ``engines``."""
    manager = rows.first("manager")
    return {
        "packages": {name: version for name, version in _pairs(rows, "package") if version},
        "package_manager": None if manager == "none" else manager,
        "engines": frozenset(name for (name,) in rows.take("engine", 1) if name),
    }


# ---- boot


def read_boot(rows: Rows) -> Fields:
    """``boot``."""
    content = "".join(line for (line,) in rows.take("content", 1))
    whole = rows.flag("content_end")
    mount_point, file_system, options = next(iter(rows.take("mount", 3)), ("", "", ""))
    overlays = rows.take("overlays", 1)
    names = [name.removesuffix(".dtbo") for (line,) in overlays for name in line.split() if name != "*.dtbo"]
    status = rows.first("pcie_status")
    return {
        "boot": Boot(
            config_path=rows.first("config"),
            config=_decoded(content) if whole else None,
            mount_point=mount_point or None,
            file_system=file_system or None,
            read_only="ro" in options.split(",") if options else None,
            cmdline=rows.first("cmdline"),
            overlays=tuple(names) if overlays else None,
            configfs=rows.flag("configfs"),
            # An absent status means enabled (Devicetree Specification 0.4, section 2.3.4); the script says so.
            pcie_enabled=None if status is None else status in {"okay", "ok"},
            pcie_generation=_number(rows.first("pcie_generation")),
            changed=tuple(path for (path,) in rows.take("changed", 1) if path),
        )
    }


def _decoded(text: str) -> str | None:
    try:
        return base64.b64decode(text, validate=True).decode("latin-1")
    except ValueError:
        return None


# ---- initramfs, images


def read_initramfs(rows: Rows) -> Fields:
    """``initramfs``."""
    inputs = dict(_pairs(rows, "inputs"))
    records = dict(_pairs(rows, "record"))
    return {
        "initramfs": InitramfsState(
            generator=_generator(rows),
            images=tuple(
                InitramfsImage(kernel, path, identity, inputs.get(kernel) or None, _record(records.get(kernel, "")))
                for kernel, path, identity in rows.take("image", 3)
            ),
        )
    }


def _generator(rows: Rows) -> Generator | None:
    name = rows.first("generator") or "none"
    if name == "none":
        return None
    try:
        return Generator(name)
    except ValueError:
        rows.refuse("generator", (name,))
        return None


def _record(text: str) -> tuple[str, str] | None:
    inputs, _, identity = text.partition(" ")
    return (inputs, identity) if inputs else None


def read_images(rows: Rows) -> Fields:
    """``image_items``."""
    items = [ImageItem(kernel, item, held=True) for kernel, item in rows.take("holds", 2)]
    items += [ImageItem(kernel, item, held=False) for kernel, item in rows.take("lacks", 2)]
    items += [ImageItem(kernel, "", held=None) for (kernel,) in rows.take("unreadable", 1)]
    return {"image_items": tuple(items)}


# ---- services


def read_services(rows: Rows) -> Fields:
    """``services`` (None where neither systemd nor OpenRC runs), ``sleep`` and ``servers``."""
    manager = rows.first("manager")
    states = [_unit(block) for block in _blocks(line for (line,) in rows.take("unit", 1))]
    scripts: dict[str, dict[str, str]] = {}
    for name, key, value in rows.take("openrc", 3):
        scripts.setdefault(name, {})[key] = value
    states += [_script(name, values) for name, values in scripts.items()]
    return {
        "services": {state.name: state for state in states} if manager else None,
        "sleep": _sleep(rows),
        "servers": _servers(rows),
    }


def _sleep(rows: Rows) -> Sleep | None:
    states = rows.take("sleep_states", 1)
    masked = tuple(name for (name,) in rows.take("sleep_masked", 1))
    triggers = tuple(what for (what,) in rows.take("sleep_trigger", 1))
    return Sleep(tuple(states[0][0].split()), masked, triggers) if states else None


def _servers(rows: Rows) -> tuple[Server, ...] | None:
    seen = rows.flag("servers_seen")
    listening: dict[str, tuple[str, ...]] = {pid: () for (pid,) in rows.take("server_sockets", 1)}
    for pid, local in rows.take("listener", 2):
        listening[pid] = (*listening.get(pid, ()), local)
    servers = [(_number(pid), listening.get(pid)) for (pid,) in rows.take("server", 1)]
    return tuple(Server(pid, where) for pid, where in servers if pid is not None) if seen else None


def _blocks(lines: Iterable[str]) -> list[dict[str, str]]:
    """Properties of each unit, as ``systemctl show`` prints them: an empty line between two units."""
    blocks: list[dict[str, str]] = [{}]
    for line in lines:
        key, _, value = line.partition("=")
        if not line:
            blocks.append({})
        else:
            blocks[-1][key] = value
    return [block for block in blocks if "Id" in block]


def _unit(values: Mapping[str, str]) -> ServiceState:
    state = values.get("ActiveState", "")
    names = {"activating": "starting", "deactivating": "stopping", "reloading": "active"}
    words = [values.get(key, "") for key in ("LoadState", "UnitFileState", "SubState", "Result")]
    return ServiceState(
        name=values["Id"].removesuffix(".service"),
        enabled=values.get("UnitFileState") == "enabled",
        state=names.get(state, state or "unknown"),
        detail=" ".join(word for word in words if word),
        ran=values.get("ExecMainStartTimestampMonotonic", "0") not in {"", "0"},
        stale=values.get("NeedDaemonReload") == "yes",
    )


def _script(name: str, values: Mapping[str, str]) -> ServiceState:
    state = values.get("state", "")
    names = {"started": "active", "stopped": "inactive", "inactive": "starting"}
    running = state in {"started", "crashed"}
    return ServiceState(name, "enabled" in values, names.get(state, state or "unknown"), state, ran=running)


# ---- past


def read_past(rows: Rows) -> Fields:
    """``past``."""
    return {
        "past": Past(
            rules=tuple(RuleLine(path, text.strip()) for path, text in _pairs(rows, "rule") if text.strip()),
            units=tuple(path for (path,) in rows.take("unit", 1) if path),
            dracut_modules=tuple(path for (path,) in rows.take("dracut", 1) if path),
            sources=tuple(
                SourceTree(path, path.rpartition("-")[2], conf == "conf", owner or None)
                for path, conf, owner in rows.take("source", 3)
            ),
            modules=tuple(ModuleFile(path, kernel, owner or None) for path, kernel, owner in rows.take("module", 3)),
        )
    }


# ---- state, log


def read_state(rows: Rows) -> Fields:
    """``receipt``, ``jobs`` and ``locked``."""
    receipt = [line for (line,) in rows.take("receipt", 1)]
    statuses = {name: number(status) for name, status in _pairs(rows, "job_status")}
    keys = dict(_pairs(rows, "job_key"))
    jobs = {
        name: JobState(name, _is_running(lock, statuses.get(name)), statuses.get(name), keys.get(name))
        for name, lock in _pairs(rows, "job")
    }
    return {
        "receipt": "\n".join(receipt) + "\n" if receipt else None,
        "jobs": jobs,
        "locked": {"held": True, "free": False}.get(rows.first("lock") or ""),
    }


def _is_running(lock: str, status: int | None) -> bool:
    # Where the lock cannot be asked, a job without an end is taken to run: starting it twice is the worse mistake.
    return lock == "held" or (lock == "unknown" and status is None)


def read_log(rows: Rows) -> Fields:
    """``log`` and ``log_readable``."""
    unreadable = rows.flag("log_unreadable")
    return {"log": tuple(line for (line,) in rows.take("log", 1)), "log_readable": not unreadable}


# ---- active sections


def read_access(rows: Rows) -> Fields:
    """``attempts``."""
    attempts = []
    for row in rows.take("attempt", 4):
        if row[2] in _RESULTS:
            attempts.append(Attempt(*row))
        else:
            rows.refuse("attempt", row)
    return {"attempts": tuple(attempts)}


def read_devices(rows: Rows) -> Fields:
    """``devices``."""
    return {"devices": _command_result(rows)}


def read_self_test(rows: Rows) -> Fields:
    """``self_test``, ``interrupts`` and ``temperatures``."""
    return {
        "interrupts": _counted(rows.take("interrupts", 3)),
        "temperatures": _temperatures(rows),
        "self_test": _command_result(rows),
    }


def read_load(rows: Rows) -> Fields:
    """``sustained`` and ``load``."""
    looks = [(_number(count), _number(interval)) for count, interval in rows.take("looks", 2)]
    count, interval = looks[0] if looks else (None, None)
    clocks: dict[str, tuple[str, ...]] = {}
    for when, line in rows.take("clocks", 2):
        clocks[when] = (*clocks.get(when, ()), line)
    load = Load(
        looks=count or 0,
        interval=interval or 0,
        links=tuple(_link_seen(rows)),
        errors=_counted((when, bdf, number_, kind) for when, bdf, kind, number_ in rows.take("errors", 4)),
        interrupts=_counted(rows.take("interrupts", 3)),
        temperatures=_temperatures(rows),
        clocks=clocks,
    )
    ran = _command_result(rows)
    return {"sustained": ran, "load": load if ran is not None else None}


def _counted(rows: Iterable[Row]) -> tuple[Counted, ...]:
    """Counters of which both numbers arrived; a row is before or after, BDF, number and, of errors, kind."""
    numbers: dict[tuple[str, str], dict[str, int]] = {}
    for when, bdf, text, *kind in rows:
        value = _number(text)
        if _BDF.fullmatch(bdf) and value is not None:
            numbers.setdefault((bdf, "".join(kind)), {})[when] = value
    return tuple(
        Counted(bdf, counts["before"], counts["after"], kind)
        for (bdf, kind), counts in numbers.items()
        if {"before", "after"} <= counts.keys()
    )


def _temperatures(rows: Rows) -> tuple[Temperatures, ...]:
    return tuple(
        temperatures
        for when, line in rows.take("temperature", 2)
        if (temperatures := parse_temperatures(when, line)) is not None
    )


def _link_seen(rows: Rows) -> Iterable[LinkSeen]:
    for row in rows.take("link_seen", 5):
        seconds, bdf, speed, width, status = row
        since = _number(seconds)
        if since is None or not _BDF.fullmatch(bdf):
            rows.refuse("link_seen", row)
            continue
        yield LinkSeen(since, bdf, _speed(speed), _width(width), _number(status or None))


def _command_result(rows: Rows) -> CommandResult | None:
    rows.flag("held")
    command = rows.first("command")
    status = _number(rows.first("exit"))
    output = tuple(line for (line,) in rows.take("output", 1))
    said = rows.take("earlier_output", 2)
    tries = [(which, _number(ended)) for which, ended in rows.take("earlier", 2)]
    if not command or status is None:
        return None
    earlier = tuple(
        CommandResult(command, ended, tuple(line for of, line in said if of == which))
        for which, ended in tries
        if ended is not None
    )
    return CommandResult(command, status, output, earlier)


# ---- shared by the readers


def _pairs(rows: Rows, key: str) -> list[tuple[str, str]]:
    return [(first, second) for first, second in rows.take(key, 2) if first]


def _number(text: str | None) -> int | None:
    return None if text is None else number(text)


def _mode(text: str) -> str | None:
    return text.rjust(4, "0") if re.fullmatch(r"[0-7]{1,4}", text) else None


READERS: Mapping[Section, Callable[[Rows], Fields]] = {
    Section.HOST: read_host,
    Section.KERNELS: read_kernels,
    Section.PCI: read_pci,
    Section.DRIVER: read_driver,
    Section.NODES: read_nodes,
    Section.DKMS: read_dkms,
    Section.ACCOUNTS: read_accounts,
    Section.FILES: read_files,
    Section.PACKAGES: read_packages,
    Section.PAST: read_past,
    Section.BOOT: read_boot,
    Section.INITRAMFS: read_initramfs,
    Section.SERVICES: read_services,
    Section.STATE: read_state,
    Section.LOG: read_log,
    Section.IMAGES: read_images,
    Section.ACCESS: read_access,
    Section.DEVICES: read_devices,
    Section.SELF_TEST: read_self_test,
    Section.LOAD: read_load,
}
