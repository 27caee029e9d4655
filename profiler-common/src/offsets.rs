//! Where the running kernel keeps what the probes read.

/// Where the running kernel keeps things: offsets in bytes, read from its BTF when the probes are loaded (rustc emits
/// no relocations for them). [`Offsets::NONE`] where this machine has no such field.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
#[repr(C)]
#[allow(
    missing_docs,
    reason = "each field is named struct_field after the kernel's own names"
)]
pub struct Offsets {
    pub task_mm: u32,
    pub task_fs: u32,
    pub task_files: u32,
    pub task_cgroups: u32,
    pub task_signal: u32,
    pub task_tgid: u32,
    pub task_cred: u32,
    pub task_start: u32,
    pub task_exit_code: u32,
    pub task_pid: u32,
    pub task_nsproxy: u32,
    pub nsproxy_mounts: u32,
    pub rename_old: u32,
    pub mm_exe_file: u32,
    pub mm_arg_start: u32,
    pub mm_arg_end: u32,
    pub cred_euid: u32,
    pub cred_permitted: u32,
    pub cred_user_ns: u32,
    pub signal_live: u32,
    pub file_path: u32,
    pub file_mode: u32,
    pub file_flags: u32,
    pub file_inode: u32,
    pub file_private_data: u32,
    pub dentry_parent: u32,
    pub dentry_name: u32,
    pub dentry_inode: u32,
    pub dentry_hash_pprev: u32,
    /// Where a name is that is short enough.
    pub dentry_inline_name: u32,
    /// The first of the fields above: they are read at once, in a window of [`DENTRY_WINDOW`] bytes.
    pub dentry_window: u32,
    pub qstr_name: u32,
    pub inode_ino: u32,
    pub inode_sb: u32,
    pub inode_generation: u32,
    pub inode_mode: u32,
    pub inode_links: u32,
    pub sb_dev: u32,
    pub sb_magic: u32,
    pub mount_mnt: u32,
    pub mount_id: u32,
    pub mount_parent: u32,
    pub mount_namespace: u32,
    pub mount_mountpoint: u32,
    pub vfsmount_root: u32,
    pub fs_root: u32,
    pub fs_pwd: u32,
    pub files_fdt: u32,
    pub fdtable_fd: u32,
    pub fdtable_max_fds: u32,
    pub css_set_subsys: u32,
    pub css_set_dfl_cgroup: u32,
    pub css_cgroup: u32,
    pub cgroup_kn: u32,
    pub cgroup_root: u32,
    pub cgroup_root_hierarchy_id: u32,
    pub kernfs_node_id: u32,
    pub kernfs_node_parent: u32,
    pub binprm_file: u32,
    pub binprm_filename: u32,
    pub binprm_interp: u32,
    pub binprm_per_clear: u32,
    pub socket_sk: u32,
    pub sock_protocol: u32,
    pub sock_type: u32,
    pub sock_family: u32,
    pub sock_port: u32,
    pub sock_address: u32,
    /// The byte that has the four bits of `sk_userlocks` in it.
    pub sock_user_locks: u32,
    /// Their place in it.
    pub sock_user_locks_shift: u32,
    pub sock_address_6: u32,
    pub unix_peer: u32,
    pub unix_path: u32,
    pub message_name: u32,
    pub message_name_length: u32,
    pub message_flags: u32,
    pub regs_syscall: u32,
    pub regs_argument_0: u32,
    pub regs_argument_1: u32,
    pub regs_argument_2: u32,
    pub regs_argument_3: u32,
    pub regs_argument_4: u32,
    pub regs_argument_5: u32,
    pub regs_code_segment: u32,
    pub task_thread_status: u32,
}

/// How many bytes of a dentry are read at once, from [`Offsets::dentry_window`].
pub const DENTRY_WINDOW: usize = 96;
/// How many bytes of a name are looked for at [`Offsets::dentry_inline_name`] (`DNAME_INLINE_LEN`: at least 32 on 64-bit machines).
pub const INLINE_NAME_BYTES: u32 = 32;

impl Offsets {
    /// The offset of what this machine does not have.
    pub const NONE: u32 = u32::MAX;
}
