// What the Go fragments of the documents assume: the rest of a reader's program. A fragment
// compiles if it does together with this; what it declares itself is left out here. A
// package that a fragment uses is found by its name, among these imports and those of this
// repository.
package assumed

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	redis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

var ctx context.Context

var err error

var db *sql.DB

var client redis.UniversalClient

var svc *otp.Service

var ch otp.Challenge

var code, firstCode string

var user struct{ ID, Email, Phone string }

var w http.ResponseWriter

var r *http.Request

var primary, backup, local, world otp.Sender

var next map[otp.PolicyKey]otp.Policy

var sent chan error

type Handlers struct {
	OTP            *otp.Service
	Users          Users
	Sessions       Sessions
	TrustedProxies []netip.Prefix
}

type User struct{ ID, Email, Phone string }

type Users struct{}

func (Users) ByPhone(string) (User, bool) { return User{}, false }

func (Users) ByEmail(string) (User, bool) { return User{}, false }

type Sessions struct{}

func (Sessions) Start(http.ResponseWriter, string) {}

type App struct{}

func NewApp(*otp.Service) *App { return nil }

func (*App) SendCode(string) {}

func (*App) Login(string) error { return nil }
