package otp_test

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

// canary stands in every field that may hold a code, a handle or a recipient.
const canary = "Canary/47?+x"

// holders are the exported types that hold secrets, each with one in every field.
func holders(t *testing.T) map[string]any {
	t.Helper()
	secret := otp.NewSecret(canary)
	route := otp.Route{Channel: canary, To: canary}
	content := otp.Content{Subject: canary, Text: canary, HTML: canary}
	return map[string]any{
		"Secret":     secret,
		"Key":        otp.Key{ID: canary, Secret: []byte(canary)},
		"Route":      route,
		"Resend":     otp.Resend{ID: canary, Channel: canary, Client: netip.MustParseAddr("192.0.2.1")},
		"Answer":     otp.Answer{ID: canary, Subject: canary, Code: canary, Usage: canary, Binding: canary, After: otp.NewProof(canary, canary, canary, canary, []byte(canary))},
		"Enrollment": otp.Enrollment{ID: canary, URI: secret, Key: secret},
		"Content":    content,
		"Proof":      otp.NewProof(canary, canary, canary, canary, []byte(canary)),
		"Message": otp.Message{
			Key: canary, Channel: canary, Usage: canary, To: canary, Code: secret, Tenant: canary, Binding: canary, Locale: canary, Content: content,
		},
		"Challenge": otp.Challenge{ID: canary, Channel: canary, Usage: canary, Receipt: otp.Receipt{Provider: canary, MessageID: canary}},
		"Request": otp.Request{
			Channel: canary, Usage: canary, Subject: canary, To: canary, Binding: canary, Client: netip.MustParseAddr("192.0.2.1"), Locale: canary,
			Extra: []byte(canary), Fallback: []otp.Route{route}, Reference: canary, Code: secret, IdempotencyKey: canary,
			Policy: &otp.Policy{Formats: []otp.Format{{Length: 6, Alphabet: canary}}},
		},
	}
}

// unhidden are the exported structs that print as they are, and why they may.
var unhidden = map[string]string{
	"Format":         "public",
	"Policy":         "configuration without secrets",
	"Limits":         "numbers",
	"Limit":          "numbers",
	"PolicyKey":      "names",
	"Policies":       "configuration without secrets",
	"Config":         "prints addresses of what it holds; see TestContainersPrintNoSecret",
	"Keyring":        "holds derived keys behind pointers; see TestContainersPrintNoSecret",
	"Service":        "prints addresses; see TestContainersPrintNoSecret",
	"Queue":          "prints addresses; see TestContainersPrintNoSecret",
	"Record":         "hashes and sealed bytes: what the store may see",
	"Outcome":        "a Record and a Refusal",
	"Charge":         "pseudonyms and numbers: what the store may see",
	"Refusal":        "a scope and a time",
	"Decision":       "a yes or no and a time",
	"Event":          "safe to log; see Event",
	"Credential":     "a name and times, without the subject",
	"Receipt":        "what a provider calls a message",
	"MismatchError":  "a number",
	"RateLimitError": "a scope and a time",
	"DeliveryError":  "cleaned errors; see TestDeliveryErrorsAreClean",
}

// S-83: whoever adds an exported struct decides here whether it prints.
func TestEveryExportedStructIsClassified(t *testing.T) {
	t.Parallel()
	hidden := holders(t)
	found := map[string]bool{}
	for name, st := range exportedStructs(t) {
		found[name] = true
		_, isHidden := hidden[name]
		_, isSafe := unhidden[name]
		assert.NotEqual(t, isHidden, isSafe, "%s is to be in holders or in unhidden of this test", name)
		if !isHidden {
			continue
		}
		embeds := slices.ContainsFunc(st.Fields.List, func(f *ast.Field) bool {
			id, ok := f.Type.(*ast.Ident)
			return ok && len(f.Names) == 0 && id.Name == "hidden"
		})
		assert.True(t, embeds, "%s holds secrets and does not embed hidden", name)
		_, formats := hidden[name].(fmt.Formatter)
		_, marshals := hidden[name].(encoding.TextMarshaler)
		assert.True(t, formats && marshals, "%s has a field or method that covers one of hidden's", name)
		v := reflect.ValueOf(hidden[name])
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if kind := f.Type.Kind(); f.IsExported() && (kind == reflect.String || kind == reflect.Slice || kind == reflect.Struct) &&
				f.Type.PkgPath() != "time" && f.Type != reflect.TypeFor[otp.Format]() {
				assert.False(t, v.Field(i).IsZero(), "%s.%s has no canary", name, f.Name)
			}
		}
	}
	for name := range maps.Keys(hidden) {
		assert.True(t, found[name], "%s does not exist", name)
	}
	for name := range maps.Keys(unhidden) {
		assert.True(t, found[name], "%s does not exist", name)
	}
}

func exportedStructs(t *testing.T) map[string]*ast.StructType {
	t.Helper()
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	found := map[string]*ast.StructType{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.IsExported() {
				if st, ok := spec.Type.(*ast.StructType); ok {
					found[spec.Name.Name] = st
				}
			}
			return true
		})
	}
	require.NotEmpty(t, found)
	return found
}

// verbs are all that fmt knows, with every flag, but %T, which shows the type, and %p,
// which is for pointers.
var verbs = func() []string {
	var list []string
	for _, verb := range "vsqxXdbocOeEfFgGtU" {
		for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "# ", "20", "-20", ".3", "[1]"} {
			list = append(list, "%"+flags+string(verb))
		}
	}
	return append(list, "%z", "%y") // no verbs at all
}()

// canaries are the spellings of the canary that an encoder may choose.
var canaries = func() []string {
	quoted := strconv.Quote(canary)
	js := encoded(json.Marshal(canary))
	head := canary[:6] // where a spelling is cut or grouped
	list := []string{
		canary, head, quoted[1 : len(quoted)-1], js[1 : len(js)-1],
		base64.RawStdEncoding.EncodeToString([]byte(canary)), base64.RawURLEncoding.EncodeToString([]byte(canary)),
		hex.EncodeToString([]byte(head)), strings.ToUpper(hex.EncodeToString([]byte(head))), fmt.Sprintf("% x", head),
		fmt.Sprintf("%U", []rune(head)[:2]), "192.0.2.1",
	}
	return append(list, numbers([]byte(head)), strings.ReplaceAll(numbers([]byte(head)), " ", ","))
}()

func requireNoCanary(t *testing.T, text, how string) {
	t.Helper()
	for _, spelling := range canaries {
		if strings.Contains(text, spelling) {
			require.Failf(t, "shown", "%s: %q shows %q", how, text, spelling)
		}
	}
}

type wrapper struct {
	Name  string
	Value any
}

// around puts v into what a careless log line may hold.
func around(v any) map[string]any {
	p := reflect.New(reflect.TypeOf(v))
	p.Elem().Set(reflect.ValueOf(v))
	slice := reflect.MakeSlice(reflect.SliceOf(reflect.TypeOf(v)), 0, 2)
	slice = reflect.Append(slice, p.Elem(), p.Elem())
	m := reflect.MakeMap(reflect.MapOf(reflect.TypeFor[string](), reflect.TypeOf(v)))
	m.SetMapIndex(reflect.ValueOf("k"), p.Elem())
	array := reflect.New(reflect.ArrayOf(1, reflect.TypeOf(v))).Elem()
	array.Index(0).Set(p.Elem())
	return map[string]any{
		"itself":             v,
		"pointer":            p.Interface(),
		"struct":             wrapper{Name: "x", Value: v},
		"pointer to struct":  &wrapper{Name: "x", Value: v},
		"pointer in struct":  wrapper{Name: "x", Value: p.Interface()},
		"slice":              slice.Interface(),
		"array":              array.Interface(),
		"map":                m.Interface(),
		"any slice":          []any{v, p.Interface()},
		"any map":            map[string]any{"k": v, "p": p.Interface()},
		"nested":             map[string]any{"k": []any{wrapper{Value: v}}},
		"slice of pointers":  []any{[]any{p.Interface()}},
		"struct of a struct": struct{ W wrapper }{wrapper{Value: v}},
	}
}

// S-83: no type that holds a code, a handle or a recipient shows it in any format or
// encoding, alone or inside of something.
func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	for name, holder := range holders(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for where, v := range around(holder) {
				for _, verb := range verbs {
					requireNoCanary(t, fmt.Sprintf(verb, v), verb+" of "+where)
				}
				for how, text := range map[string]string{
					"Sprint":   fmt.Sprint(v),
					"Sprintln": fmt.Sprintln(v),
					"Errorf":   fmt.Errorf("got %v, %+v, %s", v, v, v).Error(),
					"extra":    fmt.Sprintf(tooShort, 1, v),
					"JSON":     encoded(json.Marshal(v)),
					"indented": encoded(json.MarshalIndent(v, "", " ")),
					"XML":      encoded(xml.Marshal(v)),
					"gob":      gobbed(v),
					"text log": logged(v, func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) }),
					"JSON log": logged(v, func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) }),
					"template": executed(v, `{{.}} {{printf "%v %+v %#v %q" . . . .}} {{print .}}`),
					"html":     executed(v, `{{html .}} {{js .}} {{urlquery .}}`),
				} {
					requireNoCanary(t, text, how+" of "+where)
				}
			}
			require.Equal(t, "[redacted]", fmt.Sprint(holder))
			require.Equal(t, `"[redacted]"`, encoded(json.Marshal(holder)))
		})
	}
}

// Mistakes that go vet finds, and nobody who does not run it.
var tooShort, wrapping = "%d", "%w"

func encoded(b []byte, err error) string {
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func gobbed(v any) string {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return b.String() + err.Error()
	}
	return b.String()
}

func logged(v any, handler func(*bytes.Buffer) slog.Handler) string {
	var b bytes.Buffer
	l := slog.New(handler(&b)).With("with", v)
	l.Info("message", "value", v, slog.Group("group", "value", v))
	return b.String()
}

func executed(v any, text string) string {
	var b strings.Builder
	if err := template.Must(template.New("").Parse(text)).Execute(&b, v); err != nil {
		return err.Error()
	}
	return b.String()
}

// S-83: a Secret is hidden even where fmt cannot call its methods: as an unexported
// field, and for verbs that are none of its own.
func TestSecretHidesFromReflection(t *testing.T) {
	t.Parallel()
	type private struct {
		code  otp.Secret
		codes []otp.Secret
		byKey map[string]otp.Secret
		p     *otp.Secret
		any   any
	}
	s := otp.NewSecret(canary)
	v := private{s, []otp.Secret{s}, map[string]otp.Secret{"k": s}, &s, s}
	for _, v := range []any{v, &v, []private{v}, s, &s} {
		for _, verb := range append(slices.Clone(verbs), "%p", "%w", "%T") {
			requireNoCanary(t, fmt.Sprintf(verb, v), verb)
		}
		requireNoCanary(t, fmt.Errorf(wrapping, v).Error(), "Errorf")
		requireNoCanary(t, encoded(json.Marshal(v)), "JSON")
		requireNoCanary(t, logged(v, func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) }), "log")
	}
}

func TestSecretReveals(t *testing.T) {
	t.Parallel()
	require.Equal(t, canary, otp.NewSecret(canary).Reveal())
	require.Empty(t, otp.Secret{}.Reveal())
	require.Empty(t, otp.NewSecret("").Reveal())
	require.Equal(t, otp.Secret{}, otp.NewSecret(""), "the empty secret is the zero one")
	require.Equal(t, "[redacted]", fmt.Sprint(otp.Secret{}), "that it is empty is not told")
	require.False(t, reflect.TypeFor[otp.Secret]().Comparable(), "== would tell by its time")
}

// S-83: services and what they are made of print no key and no fixed code.
func TestContainersPrintNoSecret(t *testing.T) {
	t.Parallel()
	secret := slices.Concat([]byte(canary), keyNo(1))
	kr := newTestKeyring(t, otp.Key{ID: "a", Secret: secret})
	store := newTap()
	queue := otp.NewQueue(store, 1)
	_, err := queue.Send(t.Context(), otp.Message{Code: otp.NewSecret(canary), To: canary})
	require.NoError(t, err)
	cfg := otp.Config{Store: store, Keyring: kr, Senders: map[otp.Channel]otp.Sender{"push": queue}}
	svc, err := otp.New(cfg)
	require.NoError(t, err)
	derivedKeys := map[string][]byte{}
	for _, label := range keyLabels(t) {
		derivedKeys[label] = derived(secret, label)
	}
	for name, v := range map[string]any{"Config": cfg, "Keyring": kr, "Service": svc, "Queue": queue} {
		for _, verb := range verbs {
			text := fmt.Sprintf(verb, v)
			requireNoCanary(t, text, verb+" of "+name)
			for label, key := range derivedKeys {
				for _, spelling := range []string{string(key), hex.EncodeToString(key), numbers(key)} {
					require.NotContains(t, text, spelling, "%s of %s shows %s", verb, name, label)
				}
			}
		}
		requireNoCanary(t, encoded(json.Marshal(v)), "JSON of "+name)
	}
}
