"""The Operations server: an embedded broker and one plugin per plane. Endpoints and operators connect here."""
