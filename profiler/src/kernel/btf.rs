//! A reader of BTF, the kernel's description of its own types.
//!
//! Only what the profiler asks: at which offset a field is, which number an enumerator has, whether a type exists. (The
//! crates that read BTF either keep their types private or carry a licence that does not go with static linking.)
//!
//! Format: Documentation/bpf/btf.rst. `/sys/kernel/btf/vmlinux` is in the machine's own byte order.
//!
//! ```no_run
//! use profiler::kernel::btf::Btf;
//!
//! let btf = Btf::parse(&std::fs::read("/sys/kernel/btf/vmlinux")?)?;
//! println!("file.f_path is at byte {}", btf.offset("file", "f_path")?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::HashMap;

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;
/// How deeply types may be nested or chained; the kernel's own limit is 32 (`MAX_RESOLVE_DEPTH`, kernel/bpf/btf.c).
const DEPTH_MAX: usize = 32;

/// Kinds of types (include/uapi/linux/btf.h).
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// Why BTF could not be read, or does not have what was asked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// Not BTF, or cut off.
    #[error("this is no BTF: {0}")]
    Format(&'static str),
    /// No such type.
    #[error("this kernel has no {kind} {name}")]
    NoType {
        /// `struct`, `enum`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The fields are there, but not where the probes can read them at once.
    #[error("struct {0} of this kernel is laid out in a way that the probes do not know")]
    Layout(&'static str),
    /// The type has no such field or enumerator.
    #[error("{of} of this kernel has no {name}")]
    NoMember {
        /// The type.
        of: String,
        /// The field.
        name: String,
    },
}

/// Parsed BTF.
pub struct Btf {
    types: Vec<Type>,
    strings: Vec<u8>,
    /// Named structures and unions, and enums; the first of a name counts, as in the kernel's own look-ups.
    structures: HashMap<String, usize>,
    typedefs: HashMap<String, usize>,
    functions: HashMap<String, usize>,
}

struct Type {
    name: u32,
    kind: u32,
    /// Whether members carry a bit field's size in the upper byte of their offset.
    has_bit_fields: bool,
    /// Size in bytes, or another type's number.
    target: u32,
    members: Vec<Member>,
}

struct Member {
    name: u32,
    /// The type's number, or an enumerator's value.
    type_or_value: u32,
    bits: u32,
}

impl Btf {
    /// Parses the bytes of `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    /// [`BtfError::Format`] where the bytes are no BTF of version 1 in this machine's byte order.
    pub fn parse(bytes: &[u8]) -> Result<Self, BtfError> {
        let mut header = Reader(bytes);
        if header.u16()? != MAGIC {
            return Err(BtfError::Format("it does not start with BTF's magic number"));
        }
        let version_and_flags = header.u16()?;
        if version_and_flags.to_ne_bytes().first() != Some(&1) {
            return Err(BtfError::Format("its version is not 1"));
        }
        let header_bytes = header.u32()? as usize;
        if header_bytes < HEADER_BYTES {
            return Err(BtfError::Format("its header is too short"));
        }
        let (type_offset, type_length) = (header.u32()? as usize, header.u32()? as usize);
        let (string_offset, string_length) = (header.u32()? as usize, header.u32()? as usize);
        let section = |offset: usize, length: usize| {
            let start = header_bytes.checked_add(offset)?;
            bytes.get(start..start.checked_add(length)?)
        };
        let types = section(type_offset, type_length).ok_or(BtfError::Format("its types are cut off"))?;
        let strings = section(string_offset, string_length).ok_or(BtfError::Format("its names are cut off"))?;
        Self {
            types: vec![Type::void()],
            strings: strings.to_vec(),
            structures: HashMap::new(),
            typedefs: HashMap::new(),
            functions: HashMap::new(),
        }
        .with_types(Reader(types))
    }

    fn with_types(mut self, mut reader: Reader<'_>) -> Result<Self, BtfError> {
        while !reader.0.is_empty() {
            self.types.push(Type::read(&mut reader)?);
        }
        for (number, known) in self.types.iter().enumerate() {
            let names = match known.kind {
                kind::STRUCT | kind::UNION | kind::ENUM => &mut self.structures,
                kind::TYPEDEF => &mut self.typedefs,
                kind::FUNC => &mut self.functions,
                _ => continue,
            };
            let name = name_at(&self.strings, known.name);
            if !name.is_empty() {
                names.entry(name.to_owned()).or_insert(number);
            }
        }
        Ok(self)
    }

    /// The offset in bytes of a field: `offset("dentry", "d_name.name")`. Anonymous structures and unions are looked
    /// through, as C does.
    ///
    /// # Errors
    /// [`BtfError::NoType`], [`BtfError::NoMember`].
    pub fn offset(&self, structure: &str, path: &str) -> Result<u32, BtfError> {
        Ok(self.bit_offset(structure, path)? / 8)
    }

    /// The same in bits, for a field that has only some bits of a byte.
    ///
    /// # Errors
    /// As [`Btf::offset`].
    pub fn bit_offset(&self, structure: &str, path: &str) -> Result<u32, BtfError> {
        let number = *self.structures.get(structure).ok_or_else(|| BtfError::NoType {
            kind: "struct",
            name: structure.to_owned(),
        })?;
        let mut current = self.types.get(number);
        let mut bits = 0_u32;
        for name in path.split('.') {
            let found = current.and_then(|known| self.member(known, name, 0));
            let (offset, inner) = found.ok_or_else(|| BtfError::NoMember {
                of: format!("struct {structure}"),
                name: path.to_owned(),
            })?;
            bits = bits
                .checked_add(offset)
                .ok_or(BtfError::Format("an offset overflows"))?;
            current = self.resolve(inner);
        }
        Ok(bits)
    }

    /// The value of an enumerator.
    ///
    /// # Errors
    /// [`BtfError::NoType`], [`BtfError::NoMember`].
    pub fn enumerator(&self, of: &str, name: &str) -> Result<u32, BtfError> {
        let number = self.structures.get(of).ok_or_else(|| BtfError::NoType {
            kind: "enum",
            name: of.to_owned(),
        })?;
        let members = self
            .types
            .get(*number)
            .map(|known| known.members.as_slice())
            .unwrap_or_default();
        members
            .iter()
            .find(|member| name_at(&self.strings, member.name) == name)
            .map(|member| member.type_or_value)
            .ok_or_else(|| BtfError::NoMember {
                of: format!("enum {of}"),
                name: name.to_owned(),
            })
    }

    /// Whether a tracepoint can be traced with types (`tp_btf`): the kernel has a typedef for it.
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.typedefs.contains_key(&format!("btf_trace_{name}"))
    }

    /// Whether a function is described.
    pub fn has_function(&self, name: &str) -> bool {
        self.functions.contains_key(name)
    }

    /// The offset in bits and the type of a member, also where it is in an anonymous member.
    fn member(&self, of: &Type, name: &str, depth: usize) -> Option<(u32, u32)> {
        if depth > DEPTH_MAX {
            return None;
        }
        of.members.iter().find_map(|member| {
            let bits = if of.has_bit_fields {
                member.bits & 0x00ff_ffff
            } else {
                member.bits
            };
            match name_at(&self.strings, member.name) {
                "" => {
                    let (inner, found) = self.member(self.resolve(member.type_or_value)?, name, depth + 1)?;
                    Some((bits.checked_add(inner)?, found))
                }
                found => (found == name).then_some((bits, member.type_or_value)),
            }
        })
    }

    /// Follows typedefs and qualifiers to the type behind them.
    fn resolve(&self, number: u32) -> Option<&Type> {
        let mut known = self.types.get(number as usize)?;
        for _ in 0..DEPTH_MAX {
            if !matches!(
                known.kind,
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG
            ) {
                return Some(known);
            }
            known = self.types.get(known.target as usize)?;
        }
        None
    }
}

impl Type {
    /// Type 0, which is in no file.
    fn void() -> Self {
        Self {
            name: 0,
            kind: 0,
            has_bit_fields: false,
            target: 0,
            members: Vec::new(),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, BtfError> {
        let (name, info, target) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (count, kind) = (info as usize & 0xffff, info >> 24 & 0x1f);
        let mut members = Vec::new();
        match kind {
            kind::STRUCT | kind::UNION => {
                for _ in 0..count {
                    members.push(Member {
                        name: reader.u32()?,
                        type_or_value: reader.u32()?,
                        bits: reader.u32()?,
                    });
                }
            }
            kind::ENUM => {
                for _ in 0..count {
                    members.push(Member {
                        name: reader.u32()?,
                        type_or_value: reader.u32()?,
                        bits: 0,
                    });
                }
            }
            kind::INT | kind::VAR | kind::DECL_TAG => reader.skip(4)?,
            kind::ARRAY => reader.skip(12)?,
            kind::FUNC_PROTO => reader.skip(count * 8)?,
            kind::DATASEC | kind::ENUM64 => reader.skip(count * 12)?,
            // Pointers, forward declarations, typedefs, qualifiers, functions, floats, tags: nothing follows.
            2 | 7..=12 | 16 | 18 => {}
            _ => {
                return Err(BtfError::Format(
                    "it holds a kind of type that this version does not know",
                ));
            }
        }
        Ok(Self {
            name,
            kind,
            has_bit_fields: info >> 31 == 1,
            target,
            members,
        })
    }
}

/// A name; empty where there is none. BTF's names are C identifiers, so anything else is as good as none.
fn name_at(strings: &[u8], offset: u32) -> &str {
    let rest = strings.get(offset as usize..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
    rest.get(..end)
        .and_then(|name| std::str::from_utf8(name).ok())
        .unwrap_or_default()
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], BtfError> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(BtfError::Format("it is cut off"))?;
        self.0 = rest;
        Ok(*head)
    }

    fn u16(&mut self) -> Result<u16, BtfError> {
        self.take().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Result<u32, BtfError> {
        self.take().map(u32::from_ne_bytes)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), BtfError> {
        self.0 = self.0.get(bytes..).ok_or(BtfError::Format("it is cut off"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// BTF of `struct outer { int first; union { struct { int deep; }; int other; }; }; enum colour { RED = 7 };`
    fn example() -> Vec<u8> {
        let strings = b"\0outer\0first\0deep\0other\0colour\0RED\0btf_trace_x\0";
        let word_of = |number: usize| u32::try_from(number).unwrap();
        let name = |text: &[u8]| word_of(strings.windows(text.len()).position(|window| window == text).unwrap());
        let mut types = Vec::new();
        let mut word = |value: u32| types.extend(value.to_ne_bytes());
        for value in [0, kind::INT << 24, 4, 32] {
            word(value);
        } // 1: int
        for value in [0, kind::STRUCT << 24 | 1, 4, name(b"deep"), 1, 0] {
            word(value);
        } // 2
        for value in [0, kind::UNION << 24 | 2, 4, 0, 2, 0, name(b"other"), 1, 0] {
            word(value);
        } // 3
        for value in [
            name(b"outer"),
            kind::STRUCT << 24 | 2,
            8,
            name(b"first"),
            1,
            0,
            0,
            3,
            32,
        ] {
            word(value);
        } // 4
        for value in [name(b"colour"), kind::ENUM << 24 | 1, 4, name(b"RED"), 7] {
            word(value);
        } // 5
        for value in [name(b"btf_trace_x"), kind::TYPEDEF << 24, 1] {
            word(value);
        } // 6
        let mut bytes = Vec::new();
        bytes.extend(MAGIC.to_ne_bytes());
        bytes.extend([1, 0]);
        for value in [
            24,
            0,
            word_of(types.len()),
            word_of(types.len()),
            word_of(strings.len()),
        ] {
            bytes.extend(value.to_ne_bytes());
        }
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn fields_are_found_through_anonymous_members() {
        let btf = Btf::parse(&example()).unwrap();
        assert_eq!(btf.offset("outer", "first"), Ok(0));
        assert_eq!(btf.offset("outer", "deep"), Ok(4));
        assert_eq!(btf.offset("outer", "other"), Ok(4));
        assert_eq!(btf.enumerator("colour", "RED"), Ok(7));
        assert!(btf.has_tracepoint("x"));
        assert!(!btf.has_tracepoint("y"));
        assert_eq!(
            btf.offset("outer", "gone").unwrap_err().to_string(),
            "struct outer of this kernel has no gone"
        );
        assert_eq!(
            btf.offset("inner", "x").unwrap_err().to_string(),
            "this kernel has no struct inner"
        );
    }

    #[test]
    fn a_cut_off_file_is_refused_at_every_length() {
        let bytes = example();
        for length in 0..bytes.len() {
            assert!(Btf::parse(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn damage_never_panics(position in 0_usize..200, value: u8) {
            let mut bytes = example();
            let position = position % bytes.len();
            bytes[position] = value;
            if let Ok(btf) = Btf::parse(&bytes) {
                let _ = (btf.offset("outer", "deep"), btf.enumerator("colour", "RED"));
            }
        }
    }
}
