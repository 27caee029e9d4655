//! Which dynamic loader an ELF file asks for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use baselines::path::PATH_BYTES_MAX;

/// Why an ELF file's interpreter could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// It could not be read at all.
    #[error("cannot read the file: {0}")]
    Io(io::Error),
    /// It does not begin like an ELF file.
    #[error("not an ELF file")]
    NotElf,
    /// It does, and then breaks the rules that the kernel checks before it executes one.
    #[error("damaged ELF file: {0}")]
    Damaged(&'static str),
}

/// The type of the program header that names the interpreter.
const PT_INTERP: u64 = 3;
/// The kernel refuses longer tables of program headers (`load_elf_phdrs`).
const TABLE_BYTES_MAX: usize = 65_536;

/// Where the fields are, see elf(5): offset and length in bytes.
struct Layout {
    header_bytes: usize,
    table_offset: (usize, usize),
    entry_bytes: (usize, usize),
    entry_count: (usize, usize),
    /// The size of one program header.
    entry: usize,
    segment_type: (usize, usize),
    segment_offset: (usize, usize),
    segment_bytes: (usize, usize),
}

const ELF32: Layout = Layout {
    header_bytes: 52,
    table_offset: (28, 4),
    entry_bytes: (42, 2),
    entry_count: (44, 2),
    entry: 32,
    segment_type: (0, 4),
    segment_offset: (4, 4),
    segment_bytes: (16, 4),
};

const ELF64: Layout = Layout {
    header_bytes: 64,
    table_offset: (32, 8),
    entry_bytes: (54, 2),
    entry_count: (56, 2),
    entry: 56,
    segment_type: (0, 4),
    segment_offset: (8, 8),
    segment_bytes: (32, 8),
};

/// The path in `PT_INTERP`, as the file has it: the dynamic loader that the kernel opens with the program. `None` for a
/// statically linked program.
///
/// 32 and 64 bits, both byte orders. Reads the header, at most 64 KiB of program headers and 4 KiB of path, with the
/// limits of the kernel's loader (`fs/binfmt_elf.c`).
///
/// # Errors
/// [`ElfError`]: not ELF, damaged, or not readable.
pub fn elf_interpreter(file: &File) -> Result<Option<Vec<u8>>, ElfError> {
    let header = read(file, 0, ELF32.header_bytes).map_err(|error| match error {
        ElfError::Damaged(_) => ElfError::NotElf, // too short to be one
        other => other,
    })?;
    let [0x7f, b'E', b'L', b'F', class, order, ..] = header.as_slice() else {
        return Err(ElfError::NotElf);
    };
    let layout = match class {
        1 => ELF32,
        2 => ELF64,
        _ => return Err(ElfError::Damaged("neither 32 nor 64 bits")),
    };
    let is_little_endian = match order {
        1 => true,
        2 => false,
        _ => return Err(ElfError::Damaged("unknown byte order")),
    };
    let number = |bytes: &[u8], field| number(bytes, field, is_little_endian);

    let header = read(file, 0, layout.header_bytes)?;
    if number(&header, layout.entry_bytes)? != layout.entry as u64 {
        return Err(ElfError::Damaged("program headers of an unknown size"));
    }
    let table_bytes = usize::try_from(number(&header, layout.entry_count)?)
        .ok()
        .and_then(|count| count.checked_mul(layout.entry))
        .filter(|bytes| (1..=TABLE_BYTES_MAX).contains(bytes))
        .ok_or(ElfError::Damaged("no program headers, or too many"))?;
    let table = read(file, number(&header, layout.table_offset)?, table_bytes)?;

    // The kernel uses the first one.
    for segment in table.chunks_exact(layout.entry) {
        if number(segment, layout.segment_type)? == PT_INTERP {
            let bytes = usize::try_from(number(segment, layout.segment_bytes)?)
                .ok()
                .filter(|bytes| (2..=PATH_BYTES_MAX).contains(bytes))
                .ok_or(ElfError::Damaged("an interpreter's path of impossible length"))?;
            let path = read(file, number(segment, layout.segment_offset)?, bytes)?;
            return path_before_nul(&path).map(Some);
        }
    }
    Ok(None)
}

/// The kernel wants a NUL at the end and stops at the first.
fn path_before_nul(bytes: &[u8]) -> Result<Vec<u8>, ElfError> {
    match bytes {
        [.., 0] => Ok(bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()),
        _ => Err(ElfError::Damaged("an interpreter's path without an end")),
    }
}

/// Exactly so many bytes at an offset.
fn read(file: &File, offset: u64, length: usize) -> Result<Vec<u8>, ElfError> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)
        .map_err(|error| match error.kind() {
            // EINVAL: an offset of 2^63 and more.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => ElfError::Damaged("it ends too early"),
            _ => ElfError::Io(error),
        })?;
    Ok(bytes)
}

/// The number in a field of up to 8 bytes.
fn number(bytes: &[u8], (offset, length): (usize, usize), is_little_endian: bool) -> Result<u64, ElfError> {
    let field = bytes
        .get(offset..)
        .and_then(|rest| rest.get(..length))
        .ok_or(ElfError::Damaged("it ends too early"))?;
    let append = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    Ok(if is_little_endian {
        field.iter().rev().fold(0, append)
    } else {
        field.iter().fold(0, append)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn interpreter(bytes: &[u8]) -> Result<Option<Vec<u8>>, ElfError> {
        elf_interpreter(&file(bytes))
    }

    fn put(bytes: &mut [u8], (offset, length): (usize, usize), value: u64, little: bool) {
        let field = &mut bytes[offset..offset + length];
        if little {
            field.copy_from_slice(&value.to_le_bytes()[..length]);
        } else {
            field.copy_from_slice(&value.to_be_bytes()[8 - length..]);
        }
    }

    /// A file with a `PT_LOAD` and then a `PT_INTERP` of these bytes.
    fn elf(layout: &Layout, little: bool, interpreter: &[u8]) -> Vec<u8> {
        let mut header = vec![0; layout.header_bytes];
        let class = if layout.header_bytes == 64 { 2 } else { 1 };
        header[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, if little { 1 } else { 2 }]);
        put(&mut header, layout.table_offset, layout.header_bytes as u64, little);
        put(&mut header, layout.entry_bytes, layout.entry as u64, little);
        put(&mut header, layout.entry_count, 2, little);
        let mut table = vec![0; 2 * layout.entry];
        let (load, named) = table.split_at_mut(layout.entry);
        put(load, layout.segment_type, 1, little);
        put(named, layout.segment_type, PT_INTERP, little);
        put(
            named,
            layout.segment_offset,
            (layout.header_bytes + 2 * layout.entry) as u64,
            little,
        );
        put(named, layout.segment_bytes, interpreter.len() as u64, little);
        [header, table, interpreter.to_vec()].concat()
    }

    #[test]
    fn the_interpreter_is_read_in_both_classes_and_byte_orders() {
        for layout in [ELF32, ELF64] {
            for little in [true, false] {
                let named = elf(&layout, little, b"/lib/ld.so\0");
                assert_eq!(interpreter(&named).unwrap().unwrap(), b"/lib/ld.so");
                let two_ends = elf(&layout, little, b"/lib/\xff\0junk\0");
                assert_eq!(interpreter(&two_ends).unwrap().unwrap(), b"/lib/\xff");
                let mut statically_linked = named;
                let second = layout.header_bytes + layout.entry;
                put(&mut statically_linked[second..], layout.segment_type, 1, little);
                assert_eq!(interpreter(&statically_linked).unwrap(), None);
            }
        }
    }

    #[test]
    fn this_very_program_names_a_loader_that_exists() {
        let own = File::open(std::env::current_exe().unwrap()).unwrap();
        // A statically linked test program has none.
        if let Some(loader) = elf_interpreter(&own).unwrap() {
            assert!(std::path::Path::new(std::str::from_utf8(&loader).unwrap()).exists());
        }
    }

    #[test]
    fn what_is_no_elf_file_is_told_apart_from_a_damaged_one() {
        for bytes in [b"".as_slice(), b"\x7fELF", b"#!/bin/sh\n", &[0; 100], &[0xff; 100]] {
            assert!(matches!(interpreter(bytes), Err(ElfError::NotElf)), "{bytes:?}");
        }
        let change = |field, value| {
            let mut bytes = elf(&ELF64, true, b"/lib/ld.so\0");
            put(&mut bytes, field, value, true);
            bytes
        };
        let segment = |(offset, length): (usize, usize)| (ELF64.header_bytes + ELF64.entry + offset, length);
        let damaged = [
            ("class", change((4, 1), 3)),
            ("byte order", change((5, 1), 0)),
            ("size of an entry", change(ELF64.entry_bytes, 32)),
            ("no entries", change(ELF64.entry_count, 0)),
            ("more than 64 KiB of entries", change(ELF64.entry_count, 1171)),
            ("entries beyond the end", change(ELF64.entry_count, 100)),
            ("table beyond the end", change(ELF64.table_offset, u64::MAX)),
            ("table far away", change(ELF64.table_offset, i64::MAX as u64)),
            ("path beyond the end", change(segment(ELF64.segment_offset), 1 << 62)),
            ("path too short", change(segment(ELF64.segment_bytes), 1)),
            ("path too long", change(segment(ELF64.segment_bytes), 4097)),
            ("huge path", change(segment(ELF64.segment_bytes), u64::MAX)),
            ("path without an end", elf(&ELF64, true, b"/lib/ld.so")),
            ("cut in the header", elf(&ELF64, true, b"/lib/ld.so\0")[..60].to_vec()),
        ];
        for (what, bytes) in damaged {
            assert!(matches!(interpreter(&bytes), Err(ElfError::Damaged(_))), "{what}");
        }
    }

    #[test]
    fn a_sparse_file_of_terabytes_costs_nothing() {
        let file = file(&elf(&ELF64, true, b"/lib/ld.so\0"));
        file.set_len(1 << 43).unwrap();
        assert_eq!(elf_interpreter(&file).unwrap().unwrap(), b"/lib/ld.so");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..400), class in 1_u8..3, order in 1_u8..3,
        ) {
            let _ = interpreter(&bytes);
            if bytes.len() > 6 {
                bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, order]);
                let _ = interpreter(&bytes);
            }
        }

        #[test]
        fn any_change_to_a_header_is_answered(
            wide in any::<bool>(), little in any::<bool>(),
            changes in proptest::collection::vec((0_usize..180, any::<u8>()), 1..8),
        ) {
            let mut bytes = elf(if wide { &ELF64 } else { &ELF32 }, little, b"/lib/ld.so\0");
            for (at, value) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            if let Ok(Some(path)) = interpreter(&bytes) {
                prop_assert!(path.len() < bytes.len());
            }
        }
    }
}
