use crate::site::{PASSWORD, Site};
use serde_json::{Value, json};

#[tokio::test]
async fn everyone_reads_and_only_authors_publish() {
    let site = Site::new().await;
    let (author, reader) = (site.author("jane", "Jane Doe").await, site.reader("john", "John Roe").await);
    assert_eq!(site.publish("", "Hello").await.0, 401);
    assert_eq!(site.publish(&reader, "Hello").await.0, 403);
    let post = json!({"id": 1, "author": "Jane Doe", "title": "Hello", "body": "Once upon a time."});
    assert_eq!(site.publish(&author, "Hello").await, (201, post.clone()));
    assert_eq!(site.get("/posts", "").await, (200, json!([post])));
    assert_eq!(site.get("/posts/1", &reader).await, (200, post));
    assert_eq!(site.get("/posts/2", "").await, (404, json!({"detail": "Not found."})));
    let blank = site.publish(&author, " ").await;
    assert_eq!(blank, (400, json!({"title": ["This field may not be blank."]})));
}

#[tokio::test]
async fn a_post_is_withdrawn_by_its_author_or_by_staff() {
    let site = Site::new().await;
    let (jane, john) = (site.author("jane", "Jane Doe").await, site.author("john", "John Roe").await);
    for title in ["One", "Two"] {
        assert_eq!(site.publish(&jane, title).await.0, 201);
    }
    let withdraw = async |path, token| site.call("DELETE", path, token, Value::Null).await.0;
    assert_eq!(withdraw("/posts/1", "").await, 401);
    assert_eq!(withdraw("/posts/1", &john).await, 403);
    assert_eq!(withdraw("/posts/1", &jane).await, 204);
    site.blog.auth.users().create_superuser("root", "root@example.com", PASSWORD).await.unwrap();
    let login = json!({"email": "root@example.com", "password": PASSWORD});
    let (_, root) = site.call("POST", "/login", "", login).await;
    assert_eq!(withdraw("/posts/2", root["token"].as_str().unwrap()).await, 204);
    assert_eq!(withdraw("/posts/2", &jane).await, 404);
}

#[tokio::test]
async fn a_registration_creates_an_account_with_a_profile_or_nothing() {
    let site = Site::new().await;
    let jane = site.reader("jane", "Jane Doe").await;
    let profile = json!({"display_name": "Jane Doe", "about": "", "posts": 0});
    assert_eq!(site.get("/profile", &jane).await, (200, profile));
    let missing = site.register("mary", "").await;
    assert_eq!(missing, (400, json!({"display_name": ["This field may not be blank."]})));
    let taken = site.register("mary", "Jane Doe").await;
    assert_eq!(taken, (400, json!({"display_name": ["This name is taken."]})));
    let accounts = "SELECT count(*) FROM users";
    assert_eq!((site.count(accounts).await, site.count("SELECT count(*) FROM profile").await), (1, 1));
    assert_eq!(
        site.register("mary", "Mary Major").await.0,
        201,
        "the email address and the name are free again"
    );
}

#[tokio::test]
async fn a_login_creates_a_missing_profile() {
    let site = Site::new().await;
    let jane = site.reader("jane", "Jane Doe").await;
    site.blog.auth.users().create_user("root", "root@example.com", Some(PASSWORD)).await.unwrap();
    sqlx::query("DELETE FROM profile").execute(&site.blog.database).await.unwrap();
    assert_eq!(site.get("/profile", &jane).await.0, 404);
    for (name, display_name) in [("jane", "Jane Doe"), ("root", "root")] {
        let login = json!({"email": format!("{name}@example.com"), "password": PASSWORD});
        let (status, answer) = site.call("POST", "/login", "", login).await;
        assert_eq!(status, 200, "{answer}");
        let profile = site.get("/profile", answer["token"].as_str().unwrap()).await;
        assert_eq!(profile.1["display_name"], display_name);
    }
}

#[tokio::test]
async fn only_its_owner_changes_a_profile() {
    let site = Site::new().await;
    let (jane, john) = (site.author("jane", "Jane Doe").await, site.reader("john", "John Roe").await);
    assert_eq!(site.get("/profile", "").await.0, 401);
    assert_eq!(site.call("PUT", "/profile", &jane, json!({"about": "Writes."})).await.0, 204);
    site.publish(&jane, "Hello").await;
    let profile = json!({"display_name": "Jane Doe", "about": "Writes.", "posts": 1});
    assert_eq!(site.get("/profile", &jane).await, (200, profile));
    assert_eq!(site.get("/profile", &john).await.1["about"], "");
}

#[tokio::test]
async fn deleting_an_account_deletes_its_profile_and_posts() {
    let site = Site::new().await;
    let jane = site.author("jane", "Jane Doe").await;
    site.publish(&jane, "Hello").await;
    let (status, answer) = site.call("DELETE", "/me", &jane, json!({"password": PASSWORD})).await;
    assert_eq!(status, 204, "{answer}");
    assert_eq!(site.get("/posts", "").await, (200, json!([])));
    assert_eq!(site.count("SELECT count(*) FROM profile").await, 0);
    assert_eq!(site.get("/profile", &jane).await.0, 401);
}

#[tokio::test]
async fn a_row_that_the_blog_writes_into_users_takes_effect_at_once() {
    let site = Site::new().await;
    let jane = site.author("jane", "Jane Doe").await;
    assert_eq!(site.get("/profile", &jane).await.0, 200);
    sqlx::query("UPDATE users SET is_active = 0").execute(&site.blog.database).await.unwrap();
    let start = std::time::Instant::now();
    while site.get("/profile", &jane).await.0 != 401 {
        assert!(start.elapsed().as_secs() < 5, "the change has no effect");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}
