package sendertest

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A check that finds nothing proves nothing, so here is one of each that it must find.
func TestDescription(t *testing.T) {
	d := Description{
		Path:    "/send",
		Headers: map[string]string{"Authorization": "Bearer x"},
		Body: &Schema{Type: "object", Required: []string{"to"}, Properties: map[string]*Schema{
			"to":   {Type: "string", Pattern: `^\+[1-9]\d+$`, MaxLength: 16},
			"kind": {Type: "string", Enum: []string{"sms"}},
			"ttl":  {Type: "integer", Minimum: new(1.0), Maximum: new(60.0)},
			"log":  {Type: "boolean"},
			"list": {Type: "array", MaxItems: 1, Items: &Schema{Type: "object", Properties: map[string]*Schema{"a": {Type: "string"}}}},
			"typo": {Type: "strnig"},
		}},
	}
	const (
		json = "application/json"
		form = "application/x-www-form-urlencoded"
	)
	tests := []struct{ name, kind, body, want string }{
		{"good", json, `{"to":"+15005550006","kind":"sms","ttl":60,"log":false,"list":[{"a":"b"}]}`, ""},
		{"good form", form, "to=%2B15005550006&ttl=5&log=false", ""},
		{"missing", json, `{"kind":"sms"}`, "body has no to"},
		{"unknown field", json, `{"to":"+15005550006","tto":1}`, "body has a field tto that is not described"},
		{"number as text", json, `{"to":"+15005550006","ttl":"5"}`, "body.ttl is no integer"},
		{"fraction", json, `{"to":"+15005550006","ttl":5.5}`, "body.ttl is no integer"},
		{"range", json, `{"to":"+15005550006","ttl":61}`, "body.ttl is 61, which is out of range"},
		{"form range", form, "to=%2B15005550006&ttl=0", "body.ttl is 0, which is out of range"},
		{"form word", form, "to=%2B15005550006&ttl=x", "body.ttl is no integer"},
		{"form boolean", form, "to=%2B15005550006&log=1", "body.log is no boolean"},
		{"text as number", json, `{"to":15005550006}`, "body.to is no text"},
		{"pattern", json, `{"to":"15005550006"}`, "body.to does not match"},
		{"long", json, `{"to":"+15005550006000000000"}`, "body.to has more than 16 characters"},
		{"enum", json, `{"to":"+15005550006","kind":"mms"}`, "body.kind is"},
		{"boolean as text", json, `{"to":"+15005550006","log":"false"}`, "body.log is no boolean"},
		{"list", json, `{"to":"+15005550006","list":{}}`, "body.list is no list"},
		{"many", json, `{"to":"+15005550006","list":[{},{}]}`, "body.list is no list"},
		{"element", json, `{"to":"+15005550006","list":[{"b":1}]}`, "body.list[0] has a field b"},
		{"object", json, `{"to":"+15005550006","list":["a"]}`, "body.list[0] is no object"},
		{"schema", json, `{"to":"+15005550006","typo":"a"}`, "body.typo has a schema of the unknown type"},
		{"encoding", "text/plain", `{}`, "content type is"},
		{"no JSON", json, `to=1`, "invalid character"},
		{"two values", json, `{"to":"+15005550006"}{}`, "more than one value"},
		{"field twice", form, "to=%2B15005550006&to=%2B15005550007", "field to occurs 2 times"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/send", nil)
			r.Header.Set("Authorization", "Bearer x")
			r.Header.Set("Content-Type", tt.kind)
			got := strings.Join(d.check(r, []byte(tt.body)), "; ")
			if tt.want == "" {
				assert.Empty(t, got)
			} else {
				assert.Contains(t, got, tt.want)
			}
		})
	}
	r := httptest.NewRequest("PUT", "/send?x=1", nil)
	r.Header.Set("Content-Type", json)
	d.Example = map[string]any{"to": "+15005550007"}
	got := strings.Join(d.check(r, []byte(`{"to":"+15005550006"}`)), "; ")
	assert.Contains(t, got, "PUT /send?x=1, want POST /send")
	assert.Contains(t, got, "header Authorization")
	assert.Contains(t, got, "body is")
}
