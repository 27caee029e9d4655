//! The list of sensitive paths: what is worth stealing, and what is an attack in itself. Data, and nothing else.
//!
//! In a pattern
//! - a name is itself, `*` is any one name, and `*.key` a name that ends so: a wildcard of a template never takes the place of
//!   any of these,
//! - `**` is any number of names, also none, and a template may have wildcards there: kubelets put each version of a token
//!   into a directory with a time stamp, and who folds that admits nothing but that token,
//! - a pattern that does not begin with `/` matches at the end of a path.

/// A pattern of sensitive paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sensitive {
    /// Which paths. A name is itself, `*` is any one name and `*.key` one that ends so; `**` is any number of names, also none,
    /// and the only part that a wildcard of a template may take the place of. Without a `/` at its beginning the pattern matches
    /// at the end of a path.
    pub pattern: &'static str,
    /// Why.
    pub why: &'static str,
}

const CREDENTIALS: &str = "credentials: who reads them can be somebody else";
const KEYS: &str = "private keys: who reads them can be somebody else";
const ACCOUNTS: &str = "password hashes and accounts";
const TAKEOVER: &str = "who can write it runs as somebody else, or comes back after a restart";
const RUNTIME: &str = "who can talk to it controls the node's containers";
const PROCESS: &str = "another process's memory, environment or files";
const KERNEL: &str = "who can write it controls the kernel, or the node";

/// Every sensitive path that is known.
pub const SENSITIVE: &[Sensitive] = &[
    entry("/etc/shadow", ACCOUNTS),
    entry("/etc/shadow-", ACCOUNTS),
    entry("/etc/gshadow", ACCOUNTS),
    entry("/etc/gshadow-", ACCOUNTS),
    entry("/etc/security/opasswd", ACCOUNTS),
    entry("/etc/sudoers", TAKEOVER),
    entry("/etc/sudoers.d/*", TAKEOVER),
    entry("/etc/pam.d/*", TAKEOVER),
    entry("/etc/ld.so.preload", TAKEOVER),
    entry("/etc/crontab", TAKEOVER),
    entry("/etc/cron.d/*", TAKEOVER),
    entry("/var/spool/cron/**/*", TAKEOVER),
    entry("/etc/systemd/system/**/*.service", TAKEOVER),
    entry("/etc/krb5.keytab", KEYS),
    entry("/etc/ssl/private/**/*", KEYS),
    entry("/etc/kubernetes/**/*.conf", CREDENTIALS),
    entry("/etc/kubernetes/pki/**/*", KEYS),
    entry("/var/lib/kubelet/pki/*", KEYS),
    entry("/run/secrets/**/*", CREDENTIALS),
    entry("/var/run/secrets/**/*", CREDENTIALS),
    entry("/proc/*/environ", PROCESS),
    entry("/proc/*/mem", PROCESS),
    entry("/proc/*/auxv", PROCESS),
    entry("/proc/*/root", PROCESS),
    entry("/proc/*/task/*/environ", PROCESS),
    entry("/proc/*/task/*/mem", PROCESS),
    entry("/proc/*/task/*/auxv", PROCESS),
    entry("/proc/kcore", KERNEL),
    entry("/proc/kallsyms", KERNEL),
    entry("/proc/sysrq-trigger", KERNEL),
    entry("/proc/sys/kernel/core_pattern", KERNEL),
    entry("/proc/sys/kernel/modprobe", KERNEL),
    entry("/sys/kernel/uevent_helper", KERNEL),
    entry("/sys/fs/cgroup/**/release_agent", KERNEL),
    entry("/dev/mem", KERNEL),
    entry("/dev/kmem", KERNEL),
    entry("/run/docker.sock", RUNTIME),
    entry("docker.sock", RUNTIME),
    entry("containerd.sock", RUNTIME),
    entry("crio.sock", RUNTIME),
    entry("podman.sock", RUNTIME),
    entry("kubelet.sock", RUNTIME),
    entry("token", CREDENTIALS),
    entry(".ssh/*", KEYS),
    entry("id_rsa", KEYS),
    entry("id_dsa", KEYS),
    entry("id_ecdsa", KEYS),
    entry("id_ed25519", KEYS),
    entry("authorized_keys", TAKEOVER),
    entry("*.key", KEYS),
    entry("*.p12", KEYS),
    entry("*.pfx", KEYS),
    entry("*.jks", KEYS),
    entry("*.kdbx", CREDENTIALS),
    entry(".aws/credentials", CREDENTIALS),
    entry(".azure/*", CREDENTIALS),
    entry(".config/gcloud/*", CREDENTIALS),
    entry("application_default_credentials.json", CREDENTIALS),
    entry(".docker/config.json", CREDENTIALS),
    entry(".kube/config", CREDENTIALS),
    entry(".git-credentials", CREDENTIALS),
    entry(".netrc", CREDENTIALS),
    entry(".pgpass", CREDENTIALS),
    entry(".my.cnf", CREDENTIALS),
    entry(".vault-token", CREDENTIALS),
    entry(".gnupg/**/*", KEYS),
];

const fn entry(pattern: &'static str, why: &'static str) -> Sensitive {
    Sensitive { pattern, why }
}

/// Directories below which nothing folds. They come with the image, so that their names differ from one image to the next
/// and never from one run to the next: a wildcard there could only admit what somebody put there later.
pub(super) const FIXED: [&str; 11] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/libexec",
    "/bin",
    "/sbin",
    "/etc/ssl/certs",
    "/usr/share/ca-certificates",
    "/usr/share/locale",
    "/usr/share/zoneinfo",
];
