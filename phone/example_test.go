package phone_test

import (
	"context"
	"fmt"

	"otp.example/otp"
	"otp.example/otp/phone"
)

func ExampleNew() {
	normalize, err := phone.New("DE")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for _, typed := range []string{"030 / 12 34 56", "+1 (202) 555-0100", "0800 FLOWERS"} {
		to, err := normalize(ctx, otp.SMS, typed)
		fmt.Println(to, err)
	}
	_ = otp.Config{Normalize: normalize}
	// Output:
	// +4930123456 <nil>
	// +12025550100 <nil>
	//  otp/phone: not a telephone number
}

func ExampleNewGuard() {
	guard, err := phone.NewGuard("US", "CA")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for _, to := range []string{"+12025550100", "+18765551234", "+19002345678"} {
		fmt.Println(guard.Check(ctx, otp.Request{Channel: otp.SMS, To: to}))
	}
	_ = otp.Config{Guard: guard}
	// Output:
	// <nil>
	// otp: refused: numbers of region JM are not allowed
	// otp: refused: numbers of this kind are not allowed
}
