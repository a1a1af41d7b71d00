-- Earlier passwords, as their hashes, of users who may not choose them again. Higher ids are later.
CREATE TABLE doorwarden_earlier_passwords (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    password TEXT NOT NULL
) STRICT;
CREATE INDEX doorwarden_earlier_passwords_by_user ON doorwarden_earlier_passwords (user_id);

-- Also for connections that do not enforce foreign keys.
CREATE TRIGGER doorwarden_user_passwords_deleted AFTER DELETE ON users BEGIN
    DELETE FROM doorwarden_earlier_passwords WHERE user_id = OLD.id;
END;
