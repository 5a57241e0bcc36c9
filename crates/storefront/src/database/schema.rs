//! The tables and indexes that both ways of reading a page share, and how they are filled.

use std::{fmt::Write as _, io::Cursor};

use axum::body::Bytes;
use futures_util::{SinkExt, pin_mut};
use lab_core::catalogue::Catalogue;
use tokio_postgres::{Client, Error};

/// Drops what an earlier `seed` made and creates the tables. Indexes come after the rows.
const CREATE_TABLES: &str = "
DROP TABLE IF EXISTS queue_positions, sessions, product_documents, orders, product_views, reviews, products,
    authors, categories;
CREATE TABLE categories (id integer PRIMARY KEY, name text NOT NULL);
CREATE TABLE authors (
    id integer PRIMARY KEY,
    name text NOT NULL,
    country text NOT NULL,
    biography text NOT NULL
);
CREATE TABLE products (
    id integer PRIMARY KEY,
    category_id integer NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    price_cents integer NOT NULL,
    units_sold integer NOT NULL,
    stock integer NOT NULL
);
CREATE TABLE reviews (
    id integer PRIMARY KEY,
    product_id integer NOT NULL,
    author_id integer NOT NULL,
    rating integer NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    created_at bigint NOT NULL
);
CREATE TABLE orders (
    idempotency_key text PRIMARY KEY,
    product_id integer NOT NULL REFERENCES products,
    quantity integer NOT NULL CHECK (0 < quantity),
    user_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE product_views (
    product_id integer PRIMARY KEY REFERENCES products,
    n_views bigint NOT NULL
);
CREATE TABLE product_documents (
    product_id integer PRIMARY KEY REFERENCES products,
    page text NOT NULL,
    recommendations text NOT NULL
);
CREATE TABLE queue_positions (queue text PRIMARY KEY, applied_to bigint NOT NULL);
CREATE TABLE sessions (
    token text PRIMARY KEY,
    user_id bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
";

/// Every foreign key that pages follow has an index, as in any service that has grown up. Keys are
/// checked once here and not row by row while copying.
const INDEX_TABLES: &str = "
CREATE INDEX ON products (category_id);
CREATE INDEX ON reviews (product_id);
CREATE INDEX ON reviews (author_id);
ALTER TABLE products ADD FOREIGN KEY (category_id) REFERENCES categories;
ALTER TABLE reviews ADD FOREIGN KEY (product_id) REFERENCES products;
ALTER TABLE reviews ADD FOREIGN KEY (author_id) REFERENCES authors;
";

/// Empties what a trial writes. The other tables are as `seed` left and analysed them.
const EMPTY_WHAT_TRIALS_WRITE: &str = "TRUNCATE orders, product_views, sessions, queue_positions;
     ANALYZE orders, product_views, sessions, queue_positions;";

/// Bytes of rows per message of a copy.
const COPY_CHUNK_BYTES: usize = 64 * 1024;

/// Creates the schema and copies the data set into it. **Errors**: PostgreSQL refused.
pub(crate) async fn seed(client: &Client, catalogue: &Catalogue) -> Result<(), Error> {
    client.batch_execute(CREATE_TABLES).await?;
    copy(client, "categories", catalogue.categories(), |line, row| {
        write!(line, "{}\t{}", row.id, row.name)
    })
    .await?;
    copy(client, "authors", catalogue.authors(), |line, row| {
        write!(line, "{}\t{}\t{}\t{}", row.id, row.name, row.country, row.biography)
    })
    .await?;
    copy(client, "products", catalogue.products(), |line, row| {
        let (id, category_id, name) = (row.id, row.category_id, row.name);
        write!(line, "{id}\t{category_id}\t{name}\t{}\t", row.description)?;
        write!(line, "{}\t{}\t{}", row.price_cents, row.units_sold, row.stock)
    })
    .await?;
    copy(client, "reviews", catalogue.reviews(), |line, row| {
        let (id, product_id, author_id) = (row.id, row.product_id, row.author_id);
        write!(line, "{id}\t{product_id}\t{author_id}\t{}\t", row.rating)?;
        write!(line, "{}\t{}\t{}", row.title, row.body, row.created_at)
    })
    .await?;
    client.batch_execute(INDEX_TABLES).await?;
    // Not in one batch: VACUUM may not run in a transaction, and a batch is one.
    client.batch_execute("VACUUM (ANALYZE)").await
}

/// Brings the tables back to the state after [`seed`]. **Errors**: PostgreSQL refused.
pub(crate) async fn reset(client: &Client) -> Result<(), Error> {
    client.batch_execute(EMPTY_WHAT_TRIALS_WRITE).await
}

/// The finished pages of one product.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) product_id: i32,
    pub(crate) page: Bytes,
    pub(crate) recommendations: Bytes,
}

/// Writes the finished pages, unless they are there.
///
/// Only variants that read them need them, so `seed` leaves them out: they take longer to render
/// than all other tables together. **Errors**: PostgreSQL refused.
pub(crate) async fn write_documents(
    client: &Client,
    documents: impl Iterator<Item = Document>,
) -> Result<(), Error> {
    if client.query_opt("SELECT 1 FROM product_documents LIMIT 1", &[]).await?.is_some() {
        return Ok(());
    }
    copy(client, "product_documents", documents, |line, row| {
        let (page, recommendations) = (text(&row.page), text(&row.recommendations));
        write!(line, "{}\t{page}\t{recommendations}", row.product_id)
    })
    .await?;
    client.batch_execute("VACUUM (ANALYZE) product_documents").await
}

fn text(body: &Bytes) -> &str {
    std::str::from_utf8(body).expect("pages are JSON")
}

/// Copies rows in PostgreSQL's text format. The catalogue's texts have nothing to escape.
async fn copy<Row>(
    client: &Client,
    table: &'static str,
    rows: impl Iterator<Item = Row>,
    write_row: impl Fn(&mut String, Row) -> std::fmt::Result,
) -> Result<(), Error> {
    let sink = client.copy_in(&format!("COPY {table} FROM STDIN")).await?;
    pin_mut!(sink);
    let mut chunk = String::with_capacity(2 * COPY_CHUNK_BYTES);
    for row in rows {
        write_row(&mut chunk, row).expect("writing to a string cannot fail");
        chunk.push('\n');
        if COPY_CHUNK_BYTES <= chunk.len() {
            sink.send(Cursor::new(std::mem::take(&mut chunk).into_bytes())).await?;
        }
    }
    sink.send(Cursor::new(chunk.into_bytes())).await?;
    sink.finish().await.map(drop)
}
