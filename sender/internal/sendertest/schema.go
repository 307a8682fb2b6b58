package sendertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A Schema is as much of JSON Schema as the descriptions need, with one difference: an
// object has the properties that are listed and no others, so that a misspelled field is
// found. In a form every value is text, and a number is a text that is one.
type Schema struct {
	Description string             `json:"description,omitempty"`
	Type        string             `json:"type"` // object, array, string, integer, boolean
	Required    []string           `json:"required,omitempty"`
	Properties  map[string]*Schema `json:"properties,omitempty"`
	Items       *Schema            `json:"items,omitempty"`
	MaxItems    int                `json:"maxItems,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	MaxLength   int                `json:"maxLength,omitempty"`
	Minimum     *float64           `json:"minimum,omitempty"`
	Maximum     *float64           `json:"maximum,omitempty"`
}

// check returns what is wrong with a request.
func (d Description) check(r *http.Request, body []byte) (findings []string) {
	if r.Method != http.MethodPost || r.URL.RequestURI() != d.Path {
		findings = append(findings, fmt.Sprintf("%s %s, want POST %s", r.Method, r.URL.RequestURI(), d.Path))
	}
	for name, want := range d.Headers {
		if got := r.Header.Values(name); len(got) != 1 || got[0] != want {
			findings = append(findings, fmt.Sprintf("header %s is %q, want %q", name, got, want))
		}
	}
	v, form, err := decode(r.Header.Get("Content-Type"), body)
	if err != nil {
		return append(findings, err.Error())
	}
	findings = append(findings, d.Body.check("body", v, form)...)
	if d.Example != nil && !reflect.DeepEqual(v, d.Example) {
		findings = append(findings, fmt.Sprintf("body is\n%v, want\n%v", v, d.Example))
	}
	return findings
}

// decode returns a body as JSON would have it.
func decode(contentType string, body []byte) (v any, form bool, err error) {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, false, err
	}
	switch kind {
	case "application/json", "application/x-amz-json-1.0":
		d := json.NewDecoder(bytes.NewReader(body))
		if err := d.Decode(&v); err != nil {
			return nil, false, err
		}
		if d.More() {
			return nil, false, fmt.Errorf("more than one value")
		}
		return v, false, nil
	case "application/x-www-form-urlencoded":
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, true, err
		}
		fields := map[string]any{}
		for name, list := range values {
			if len(list) != 1 {
				return nil, true, fmt.Errorf("field %s occurs %d times", name, len(list))
			}
			fields[name] = list[0]
		}
		return fields, true, nil
	}
	return nil, false, fmt.Errorf("content type is %q", contentType)
}

func (s *Schema) check(at string, v any, form bool) (findings []string) {
	say := func(format string, args ...any) {
		findings = append(findings, at+" "+fmt.Sprintf(format, args...))
	}
	switch s.Type {
	case "object":
		fields, ok := v.(map[string]any)
		if !ok {
			say("is no object")
			return findings
		}
		for _, name := range s.Required {
			if _, ok := fields[name]; !ok {
				say("has no %s", name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			p := s.Properties[name]
			if p == nil {
				say("has a field %s that is not described", name)
				continue
			}
			findings = append(findings, p.check(at+"."+name, fields[name], form)...)
		}
	case "array":
		list, ok := v.([]any)
		if !ok || len(list) == 0 || s.MaxItems > 0 && len(list) > s.MaxItems {
			say("is no list, or has a wrong number of elements")
		}
		for i, e := range list {
			findings = append(findings, s.Items.check(fmt.Sprintf("%s[%d]", at, i), e, form)...)
		}
	case "string":
		text, ok := v.(string)
		switch {
		case !ok:
			say("is no text")
		case s.MaxLength > 0 && utf8.RuneCountInString(text) > s.MaxLength:
			say("has more than %d characters", s.MaxLength)
		case len(s.Enum) > 0 && !slices.Contains(s.Enum, text):
			say("is %q, which is not one of %q", text, s.Enum)
		case s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(text):
			say("does not match %s", s.Pattern)
		}
	case "integer":
		n, ok := v.(float64)
		if text, isText := v.(string); form && isText {
			i, err := strconv.Atoi(text)
			n, ok = float64(i), err == nil
		}
		switch {
		case !ok || n != math.Trunc(n):
			say("is no integer")
		case s.Minimum != nil && n < *s.Minimum, s.Maximum != nil && n > *s.Maximum:
			say("is %v, which is out of range", n)
		}
	case "boolean":
		_, ok := v.(bool)
		if form {
			ok = v == "true" || v == "false"
		}
		if !ok {
			say("is no boolean")
		}
	default:
		say("has a schema of the unknown type %q", s.Type)
	}
	return findings
}
