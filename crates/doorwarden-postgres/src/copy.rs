//! `COPY … FROM STDIN (FORMAT binary)`: rows in PostgreSQL's binary form.

use crate::failure::Failure;
use crate::values::At;
use bytes::{Bytes, BytesMut};
use doorwarden_core::time::Timestamp;
use futures_util::SinkExt;
use std::pin::pin;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

/// How much is sent at a time.
const CHUNK: usize = 256 * 1024;

/// The signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// A row that is being written, field by field.
pub(crate) struct Fields<'a>(&'a mut BytesMut);

impl Fields<'_> {
    pub(crate) fn int8(&mut self, value: i64) {
        self.field(&value.to_be_bytes());
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.field(&[u8::from(value)]);
    }

    /// `text`, and `json`, whose binary form is its text.
    pub(crate) fn text(&mut self, value: &str) {
        self.field(value.as_bytes());
    }

    pub(crate) fn instant(&mut self, value: Option<Timestamp>) {
        match value {
            None => self.0.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(value) => {
                self.0.extend_from_slice(&8_i32.to_be_bytes());
                At(value).to_sql(&Type::TIMESTAMPTZ, self.0).expect("an instant can always be written");
            }
        }
    }

    fn field(&mut self, bytes: &[u8]) {
        let length = i32::try_from(bytes.len()).expect("what an account holds is short");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
    }
}

/// Rows of one table.
pub(crate) struct Rows {
    fields: i16,
    full: Vec<Bytes>,
    buffer: BytesMut,
}

impl Rows {
    /// No rows yet, of this many fields each.
    pub(crate) fn of(fields: i16) -> Self {
        let mut buffer = BytesMut::with_capacity(CHUNK + CHUNK / 4);
        buffer.extend_from_slice(HEADER);
        Self { fields, full: Vec::new(), buffer }
    }

    /// Adds a row, all of whose fields must be written.
    pub(crate) fn row(&mut self) -> Fields<'_> {
        if self.buffer.len() >= CHUNK {
            self.full.push(self.buffer.split().freeze());
        }
        self.buffer.extend_from_slice(&self.fields.to_be_bytes());
        Fields(&mut self.buffer)
    }

    /// Sends them all.
    pub(crate) async fn send(mut self, client: &Client, sql: &str) -> Result<(), Failure> {
        self.buffer.extend_from_slice(&(-1_i16).to_be_bytes());
        self.full.push(self.buffer.freeze());
        let mut sink = pin!(client.copy_in(sql).await?);
        for chunk in self.full {
            sink.feed(chunk).await?;
        }
        sink.finish().await?;
        Ok(())
    }
}
