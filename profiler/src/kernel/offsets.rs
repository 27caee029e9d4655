//! Where the running kernel keeps what the probes read.

use profiler_common::{DENTRY_WINDOW, INLINE_NAME_BYTES, Offsets};

use super::btf::{Btf, BtfError};

/// Finds every offset.
///
/// # Errors
/// [`BtfError`] naming the first field that this kernel does not have: the probes cannot work on it.
pub fn find(btf: &Btf) -> Result<Offsets, BtfError> {
    let at = |structure: &str, field: &str| btf.offset(structure, field);
    let registers = Registers::find(btf)?;
    let dentry = DentryFields::find(btf)?;
    let user_locks = btf.bit_offset("sock", "sk_userlocks")?;
    Ok(Offsets {
        task_mm: at("task_struct", "mm")?,
        task_fs: at("task_struct", "fs")?,
        task_files: at("task_struct", "files")?,
        task_cgroups: at("task_struct", "cgroups")?,
        task_signal: at("task_struct", "signal")?,
        task_tgid: at("task_struct", "tgid")?,
        task_cred: at("task_struct", "cred")?,
        rename_old: at("renamedata", "old_dentry").unwrap_or(Offsets::NONE),
        task_start: at("task_struct", "start_boottime")?,
        task_exit_code: at("task_struct", "exit_code")?,
        task_pid: at("task_struct", "pid")?,
        task_nsproxy: at("task_struct", "nsproxy")?,
        nsproxy_mounts: at("nsproxy", "mnt_ns")?,
        mm_exe_file: at("mm_struct", "exe_file")?,
        mm_arg_start: at("mm_struct", "arg_start")?,
        mm_arg_end: at("mm_struct", "arg_end")?,
        cred_euid: at("cred", "euid")?,
        cred_permitted: at("cred", "cap_permitted")?,
        cred_user_ns: at("cred", "user_ns")?,
        signal_live: at("signal_struct", "live")?,
        file_path: at("file", "f_path")?,
        file_mode: at("file", "f_mode")?,
        file_flags: at("file", "f_flags")?,
        file_inode: at("file", "f_inode")?,
        file_private_data: at("file", "private_data")?,
        dentry_parent: dentry.parent,
        dentry_name: dentry.name,
        dentry_inode: dentry.inode,
        dentry_hash_pprev: dentry.hash_pprev,
        dentry_inline_name: dentry.inline_name,
        dentry_window: dentry.window,
        qstr_name: at("qstr", "name")?,
        inode_ino: at("inode", "i_ino")?,
        inode_sb: at("inode", "i_sb")?,
        inode_generation: at("inode", "i_generation")?,
        inode_mode: at("inode", "i_mode")?,
        inode_links: at("inode", "i_nlink")?,
        sb_dev: at("super_block", "s_dev")?,
        sb_magic: at("super_block", "s_magic")?,
        mount_mnt: at("mount", "mnt")?,
        mount_id: at("mount", "mnt_id")?,
        mount_parent: at("mount", "mnt_parent")?,
        mount_namespace: at("mount", "mnt_ns")?,
        mount_mountpoint: at("mount", "mnt_mountpoint")?,
        vfsmount_root: at("vfsmount", "mnt_root")?,
        fs_root: at("fs_struct", "root")?,
        fs_pwd: at("fs_struct", "pwd")?,
        files_fdt: at("files_struct", "fdt")?,
        fdtable_fd: at("fdtable", "fd")?,
        fdtable_max_fds: at("fdtable", "max_fds")?,
        css_set_subsys: at("css_set", "subsys")?,
        css_set_dfl_cgroup: at("css_set", "dfl_cgrp")?,
        css_cgroup: at("cgroup_subsys_state", "cgroup")?,
        cgroup_kn: at("cgroup", "kn")?,
        cgroup_root: at("cgroup", "root")?,
        cgroup_root_hierarchy_id: at("cgroup_root", "hierarchy_id")?,
        kernfs_node_id: at("kernfs_node", "id")?,
        // Renamed in 6.15, when the pointer became RCU-protected.
        kernfs_node_parent: at("kernfs_node", "__parent").or_else(|_| at("kernfs_node", "parent"))?,
        binprm_file: at("linux_binprm", "file")?,
        binprm_filename: at("linux_binprm", "filename")?,
        binprm_interp: at("linux_binprm", "interp")?,
        binprm_per_clear: at("linux_binprm", "per_clear")?,
        socket_sk: at("socket", "sk")?,
        sock_protocol: at("sock", "sk_protocol")?,
        // A field of its own since 5.6.
        sock_type: at("sock", "sk_type")?,
        sock_family: at("sock_common", "skc_family")?,
        sock_port: at("sock_common", "skc_num")?,
        sock_address: at("sock_common", "skc_rcv_saddr")?,
        sock_user_locks: user_locks / 8,
        sock_user_locks_shift: user_locks % 8,
        sock_address_6: at("sock_common", "skc_v6_rcv_saddr").unwrap_or(Offsets::NONE),
        unix_peer: at("unix_sock", "peer").unwrap_or(Offsets::NONE),
        unix_path: at("unix_sock", "path").unwrap_or(Offsets::NONE),
        message_name: at("msghdr", "msg_name")?,
        message_name_length: at("msghdr", "msg_namelen")?,
        message_flags: at("msghdr", "msg_flags")?,
        regs_syscall: registers.syscall,
        regs_argument_0: registers.arguments.0,
        regs_argument_1: registers.arguments.1,
        regs_argument_2: registers.arguments.2,
        regs_argument_3: registers.arguments.3,
        regs_argument_4: registers.arguments.4,
        regs_argument_5: registers.arguments.5,
        regs_code_segment: registers.code_segment,
        // A 64-bit program that enters the kernel the 32-bit way: x86 only.
        task_thread_status: at("task_struct", "thread_info.status").unwrap_or(Offsets::NONE),
    })
}

/// What the probes read of a directory entry, in one piece.
struct DentryFields {
    hash_pprev: u32,
    parent: u32,
    name: u32,
    inode: u32,
    inline_name: u32,
    window: u32,
}

impl DentryFields {
    fn find(btf: &Btf) -> Result<Self, BtfError> {
        let at = |field: &str| btf.offset("dentry", field);
        // Renamed in 6.14.
        let inline_name = at("d_shortname").or_else(|_| at("d_iname"))?;
        let (hash_pprev, parent, name, inode) = (at("d_hash.pprev")?, at("d_parent")?, at("d_name")?, at("d_inode")?);
        let window = hash_pprev.min(parent).min(name).min(inode).min(inline_name);
        let ends = [
            hash_pprev + 8,
            parent + 8,
            name + 16,
            inode + 8,
            inline_name + INLINE_NAME_BYTES,
        ];
        if ends.iter().any(|end| (end - window) as usize > DENTRY_WINDOW) {
            return Err(BtfError::Layout("dentry"));
        }
        Ok(Self {
            hash_pprev,
            parent,
            name,
            inode,
            inline_name,
            window,
        })
    }
}

/// Where a system call's number and arguments are.
struct Registers {
    syscall: u32,
    arguments: (u32, u32, u32, u32, u32, u32),
    code_segment: u32,
}

impl Registers {
    #[cfg(target_arch = "x86_64")]
    fn find(btf: &Btf) -> Result<Self, BtfError> {
        let at = |field: &str| btf.offset("pt_regs", field);
        Ok(Self {
            syscall: at("orig_ax")?,
            arguments: (at("di")?, at("si")?, at("dx")?, at("r10")?, at("r8")?, at("r9")?),
            code_segment: at("cs")?,
        })
    }

    /// x8 keeps the number and x0 to x5 hold the arguments; at exit the result is in x0, and its argument in `orig_x0`
    /// (arch/arm64/kernel/syscall.c).
    #[cfg(target_arch = "aarch64")]
    fn find(btf: &Btf) -> Result<Self, BtfError> {
        let first = btf.offset("pt_regs", "regs")?;
        Ok(Self {
            syscall: first + 64,
            arguments: (
                btf.offset("pt_regs", "orig_x0")?,
                first + 8,
                first + 16,
                first + 24,
                first + 32,
                first + 40,
            ),
            code_segment: Offsets::NONE,
        })
    }
}
