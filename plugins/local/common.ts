/** Passwords of eight and more characters that stand at the top of every list of leaked ones. Lower case. */
export const common: ReadonlySet<string> = new Set(
  `
  00000000 01234567 0123456789 0987654321 10203040 11111111 1111111111 11223344 1122334455 12121212 123123123 1234512345
  12341234 12344321 123454321 123456123 12345678 123456789 1234567890 12345678910 123456789a 123456789q 12345678a
  123456aa 123456abc 1234abcd 1234qwer 123654789 123abc123 123qwe123 123qweasd 123qweasdzxc 13131313 147258369 147852369
  1a2b3c4d 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx 1qaz2wsx3edc 1qazxsw2 20202020 22222222 23232323 25802580 31415926
  55555555 66666666 69696969 741852963 77777777 78945612 789456123 87654321 88888888 963852741 987654321 9876543210
  99999999 a1234567 a12345678 a123456789 a1b2c3d4 aa123456 aaaaaaaa abc12345 abc123456 abcd1234 abcdefgh abcdefg1 access14
  adgjmptw admin123 admin1234 admin12345 administrator alexander anthony1 asdasdasd asdf1234 asdfasdf asdfghjk asdfghjkl
  babygirl baseball basketball benjamin blink182 changeme changeme1 changeme123 charlie1 chocolate christian christopher
  computer computer1 danielle december default1 dragon123 elephant elizabeth fernando football football1 forever1
  garfield goodluck guest123 hello123 helloworld iloveyou iloveyou1 iloveyou2 internet jennifer jessica1 jonathan jordan23
  jupyter1 jupyter123 jupyterhub justin123 letmein1 letmein123 liverpool liverpool1 lollipop lovelove loveyou1 manchester
  marlboro maverick mercedes metallica michael1 michelle midnight minecraft monkey123 mynoob123 naruto123 nicholas
  ninja123 november opensesame p@ssw0rd p@ssword pa55word parola12 pass1234 passord1 passport passw0rd password password!
  password1 password1! password12 password123 password1234 password2 password@123 passwort passwort1 patricia pokemon1
  precious princess princess1 q1w2e3r4 q1w2e3r4t5 qazwsxedc qq123456 qwer1234 qwerasdf qwert123 qwerty12 qwerty123
  qwerty1234 qwerty12345 qwerty123456 qwertyui qwertyuiop rockstar1 root1234 rootroot samantha samsung1 scorpion
  secret123 september sergiu123 serenity shadow123 snowball soccer12 spiderman startrek starwars starwars1 steelers
  student1 student123 summer123 sunflower sunshine sunshine1 superman superman1 superstar swarmhub target123 teacher1
  teacher123 test1234 test12345 testtest thailand thomas123 thunder1 tinkerbell trustno1 undertaker user1234 veronica
  victoria welcome1 welcome12 welcome123 whatever william1 winston1 xxxxxxxx zaq12wsx zaq1zaq1 zxcvbnm1 zxcvbnm123
  `
    .trim()
    .split(/\s+/),
)
