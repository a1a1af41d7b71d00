//! `cargo run -p example-blog` serves the blog in `blog.db` on 127.0.0.1:8000, or on the address that
//! `BLOG_LISTEN` names; `cargo run -p example-blog author jane@example.com` permits Jane to publish.

use doorwarden::Doorwarden;
use example_blog::Blog;
use std::error::Error;
use std::path::Path;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let blog = Blog::open(Path::new("blog.db"), Doorwarden::builder()).await?;
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => serve(blog).await,
        ["author", email] if blog.make_author(email).await? => Ok(()),
        ["author", email] => Err(format!("no user has the email address `{email}`").into()),
        _ => Err("usage: example-blog [author EMAIL]".into()),
    }
}

async fn serve(blog: Blog) -> Result<(), Box<dyn Error>> {
    let address = std::env::var("BLOG_LISTEN").unwrap_or_else(|_| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(address).await?;
    tracing::info!("the blog is on http://{}, its interface on /docs", listener.local_addr()?);
    // Without a signal to wait for, it serves until it is killed.
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    Ok(blog.serve(listener, interrupted).await?)
}
