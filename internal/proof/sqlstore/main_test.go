package sqlstore_test

import (
	"os"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	_ "github.com/mattn/go-sqlite3"
	_ "modernc.org/sqlite"

	"otp.example/otp/internal/proof/servers"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }
