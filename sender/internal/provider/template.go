package provider

import (
	"fmt"
	"unicode/utf8"

	"otp.example/otp"
)

// An AuthTemplate is a message from an approved WhatsApp template of the category
// AUTHENTICATION, as WhatsApp's own interface and those that pass it on take it.
type AuthTemplate struct {
	Name       string      `json:"name"`
	Language   language    `json:"language"`
	Components []component `json:"components"`
}

type language struct {
	Code string `json:"code"`
}

type component struct {
	Type       string      `json:"type"`
	SubType    string      `json:"sub_type,omitempty"`
	Index      string      `json:"index,omitempty"`
	Parameters []parameter `json:"parameters"`
}

type parameter struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// maxTemplateCode is the longest code, in characters, that such a template takes.
const maxTemplateCode = 15

// AuthTemplate fills in the code, which goes in twice: into the text that WhatsApp has
// fixed, and behind the button that copies it or fills it in.
func (c *Client) AuthTemplate(m otp.Message, name string, languages []string) (AuthTemplate, error) {
	code := m.Code.Reveal()
	if code == "" || utf8.RuneCountInString(code) > maxTemplateCode {
		return AuthTemplate{}, c.Refused(fmt.Sprintf("the code is not of 1 to %d characters", maxTemplateCode))
	}
	p := []parameter{{Type: "text", Text: code}}
	return AuthTemplate{Name: name, Language: language{Code: Language(languages, m.Locale)}, Components: []component{
		{Type: "body", Parameters: p},
		{Type: "button", SubType: "url", Index: "0", Parameters: p},
	}}, nil
}
