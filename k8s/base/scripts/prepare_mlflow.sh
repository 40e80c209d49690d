# Before the server starts: its tables brought up to date, and the settings of its login written.
set -eu
mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"
umask 077
cat > "$MLFLOW_AUTH_CONFIG_PATH" <<END
[mlflow]
default_permission = READ
database_uri = $MLFLOW_BACKEND_STORE_URI
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
# Checking a password is slow on purpose; a changed one is known to all workers after a minute.
auth_cache_ttl_seconds = 60
END
