//! Every function of WASI preview 1 with its signature.

use wasmparser::{FuncType, ValType};

/// Module that guests import from.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// A signature: a letter for each parameter (`i` i32, `I` i64), and whether it returns an error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) params: &'static str,
    pub(crate) returns: bool,
}

impl Signature {
    pub(crate) fn matches(&self, ty: &FuncType) -> bool {
        let results: &[ValType] = if self.returns { &[ValType::I32] } else { &[] };
        ty.results() == results
            && ty.params().len() == self.params.len()
            && ty.params().iter().zip(self.params.chars()).all(|(param, letter)| {
                *param == if letter == 'I' { ValType::I64 } else { ValType::I32 }
            })
    }
}

/// All functions, in alphabetic order.
pub(crate) const FUNCTIONS: &[(&str, &str)] = &[
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_prestat_get", "ii"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_seek", "iIii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_exit", "i"),
    ("proc_raise", "i"),
    ("random_get", "ii"),
    ("sched_yield", ""),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

/// The signature of a function, if there is one of this name.
pub(crate) fn signature(name: &str) -> Option<Signature> {
    let (name, params) = FUNCTIONS.iter().find(|(known, _)| *known == name)?;
    Some(Signature { params, returns: *name != "proc_exit" })
}
