-- What the blog keeps of a person beside the account. The table `users` is Doorwarden's, and made for being joined.
CREATE TABLE profile (
    user_id INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    display_name TEXT NOT NULL UNIQUE,
    about TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE post (
    id INTEGER PRIMARY KEY,
    author_id INTEGER NOT NULL REFERENCES profile (user_id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE INDEX post_author ON post (author_id);
