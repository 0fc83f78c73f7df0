"""Kubernetes's pod security standard "restricted", as its admission controller checks it."""

from collections.abc import Iterator

from manifests import Object

# Volumes that the standard allows; images since Kubernetes 1.33.
VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
    *("persistentVolumeClaim", "projected", "secret"),
}


def containers(spec: Object) -> list[Object]:
    """Return the containers of a pod, those of its start first."""
    return [*spec.get("initContainers", ()), *spec["containers"]]


def violations(spec: Object) -> list[str]:
    """Return what the standard forbids in the spec of a pod, in words."""
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    for volume in spec.get("volumes", ()):
        found += [f"volume {kind}" for kind in volume.keys() - {"name"} - VOLUMES]
    common = spec.get("securityContext", {})
    found += [key for key in ("sysctls", "seLinuxOptions", "appArmorProfile") if common.get(key)]
    for container in containers(spec):
        own = common | container.get("securityContext", {})
        found += [f"{container['name']}: {fault}" for fault in _faults(container, own)]
    return found


def _faults(container: Object, security: Object) -> Iterator[str]:
    if security.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if security.get("runAsNonRoot") is not True:
        yield "runAsNonRoot"
    if security.get("runAsUser") == 0:
        yield "runAsUser"
    if security.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "seccompProfile"
    capabilities = security.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()):
        yield "capabilities are kept"
    if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if security.get("privileged") or security.get("procMount", "Default") != "Default":
        yield "privileged"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield "hostPort"
    probes = (container.get(f"{name}Probe", {}) for name in ("startup", "readiness", "liveness"))
    if any("host" in probe.get("httpGet", {}) for probe in probes):
        yield "a probe of another host"
