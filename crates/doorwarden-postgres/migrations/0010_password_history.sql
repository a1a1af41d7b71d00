-- Earlier passwords, as their hashes, of users who may not choose them again. Higher ids are later.
CREATE TABLE doorwarden_earlier_passwords (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL,
    password text NOT NULL,
    CONSTRAINT doorwarden_earlier_password_user FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE
);
CREATE INDEX doorwarden_earlier_passwords_by_user ON doorwarden_earlier_passwords (user_id);
