//! Behaviour that every Doorwarden store must show, throw-away databases and a test application.
