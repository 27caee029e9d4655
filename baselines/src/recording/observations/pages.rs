//! Pages, looked at before they are decoded: the decoder takes what it is told about their content for true, and stops the
//! program or asks for memory without end where that is wrong.

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};

use super::columns::Kind;

/// The pages of one column of one row group, as far as they can be what is written here.
pub(super) struct Checked {
    pages: Box<dyn PageReader>,
    kind: Kind,
    has_dictionary: bool,
    /// How many rows are still to come.
    rows: usize,
}

impl Checked {
    pub(super) fn new(pages: Box<dyn PageReader>, kind: Kind, rows: usize) -> Self {
        Self {
            pages,
            kind,
            has_dictionary: false,
            rows,
        }
    }

    fn is_plausible(&mut self, page: &Page) -> bool {
        match page {
            Page::DictionaryPage {
                buf,
                num_values,
                encoding,
                ..
            } => {
                let is_first = !std::mem::replace(&mut self.has_dictionary, true);
                let values = usize::try_from(*num_values).unwrap_or(usize::MAX);
                let is_whole = match self.kind {
                    Kind::Text => has_texts(buf, values),
                    Kind::Number | Kind::Time => values <= buf.len() / size_of::<i64>(),
                };
                is_first && is_whole && matches!(encoding, Encoding::PLAIN | Encoding::PLAIN_DICTIONARY)
            }
            Page::DataPage {
                num_values,
                encoding,
                def_level_encoding,
                ..
            } => {
                let values = usize::try_from(*num_values).unwrap_or(usize::MAX);
                let left = self.rows.checked_sub(values);
                self.rows = left.unwrap_or(0);
                let is_known = match encoding {
                    Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY => self.has_dictionary,
                    // How many texts there are, their decoder does not ask.
                    Encoding::PLAIN => self.kind != Kind::Text,
                    _ => false,
                };
                left.is_some() && is_known && *def_level_encoding == Encoding::RLE
            }
            // Never written.
            Page::DataPageV2 { .. } => false,
        }
    }
}

/// Whether these are so many texts, each behind its length in four bytes.
fn has_texts(mut bytes: &[u8], count: usize) -> bool {
    for _ in 0..count {
        let Some((length, rest)) = bytes.split_first_chunk() else {
            return false;
        };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some(rest) = rest.get(length..) else {
            return false;
        };
        bytes = rest;
    }
    bytes.is_empty()
}

impl PageReader for Checked {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        match &page {
            Some(page) if !self.is_plausible(page) => {
                let what = "a page is none of those that are written".to_owned();
                Err(ParquetError::General(what))
            }
            _ => Ok(page),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}

impl Iterator for Checked {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
