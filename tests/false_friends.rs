//! Nobody is taken off a list who should stay: what people and their autoresponders write is never a failure of theirs, and no request that they did
//! not make. Each of the words below is one that a bounce or a request has.

#![allow(clippy::unwrap_used)]

use bounced::{
    classify::{Envelope, tell},
    message,
    taxonomy::{Fault, Status},
};

fn status(subject: &str, header: &str, text: &str) -> Status {
    let mail = format!(
        "From: Alice Smith <alice@example.org>\nTo: news@returns.example.com\nDate: Mon, 09 Nov 2026 10:15:00 +0100\nSubject: {subject}\n{header}MIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\n\n{text}\n"
    );
    let told = tell(&message::read(mail.replace('\n', "\r\n").as_bytes()), &Envelope::default()).verdicts;
    assert_eq!(told.len(), 1, "{text}");
    told[0].status
}

const FOOTERS: [&str; 8] = [
    "On Mon, 9 Nov 2026, News <news@returns.example.com> wrote:\n> To unsubscribe click here or reply with UNSUBSCRIBE.",
    "-----Original Message-----\nFrom: News\nSent: Monday\nTo: Alice\nSubject: News\n\nPlease remove me from your list: https://example.com/u",
    "From: News <news@returns.example.com>\nSent: Monday\nTo: Alice\nSubject: News\n\nUnsubscribe",
    "> Newsletter abbestellen: https://example.com/u",
    "Am 09.11.2026 um 09:00 schrieb News:\n> Wenn Sie keine weiteren E-Mails mehr möchten, melden Sie sich ab.",
    "Le 9 nov. 2026 à 09:00, News a écrit :\n> Pour ne plus recevoir nos lettres, me désinscrire",
    "If you no longer wish to receive these mails, unsubscribe here: https://example.com/u",
    "Unsubscribe | Preferences | Privacy",
];

const REPLIES: [&str; 10] = [
    "Thank you, what a lovely letter! Could you tell me who took the first picture?",
    "Vielen Dank für die schönen Bilder, wir kommen gern.",
    "Merci beaucoup, à bientôt.",
    "My old mail to bob@example.com came back with \"550 5.1.1 user unknown\", so I write to you instead.",
    "Our server was down and said mailbox full to everybody; it works again now.",
    "Please don't remove me from your mailing list, I was only away.",
    "The unsubscribe link in your mail does not work for my neighbour. I myself read on.",
    "The parcel could not be delivered since nobody was at home.",
    "I have left my umbrella at yours, and the account of the evening is yet to come.",
    "Спасибо, очень интересно! Ваше письмо доставлено, ящик не переполнен.",
];

#[test]
fn a_reply_that_quotes_the_footer_asks_for_nothing() {
    for reply in REPLIES {
        for footer in FOOTERS {
            let told = status("Re: News", "", &format!("{reply}\n\n{footer}"));
            assert_eq!(told, Status::Undetermined, "{reply}\n\n{footer}");
        }
    }
}

/// The same words under the fields of an autoresponder are an automatic reply, and blame nobody.
#[test]
fn an_automatic_reply_is_never_a_failure() {
    const FIELDS: [&str; 4] = [
        "Auto-Submitted: auto-replied\n",
        "Auto-Submitted: auto-generated\nX-Auto-Response-Suppress: All\n",
        "X-Autoreply: yes\nPrecedence: bulk\n",
        "Precedence: auto_reply\n",
    ];
    const WORDS: [&str; 9] = [
        "I am away until 4 January 2027. This mailbox is full.",
        "This address is no longer in use, the account will be deleted.",
        "Bob has left the company. This mailbox does not exist any more, mail is returned to sender.",
        "The user you wrote to is no longer here. User unknown in future.",
        "550 5.1.1 is what you will get from next week on: I am leaving.",
        "Mein Postfach ist voll, ich bin im Urlaub.",
        "Cette adresse n'existe plus à partir de janvier, je ne travaille plus ici.",
        "Ich bin nicht mehr im Unternehmen, Ihre Nachricht wurde nicht zugestellt.",
        "Меня нет в офисе, почтовый ящик переполнен.",
    ];
    for fields in FIELDS {
        for words in WORDS {
            for subject in ["Re: News", "Automatic reply: News"] {
                let told = status(subject, fields, words);
                assert!(matches!(told, Status::AutoReply | Status::AddressChange), "{told}: {subject}, {fields}{words}");
            }
        }
    }
}

/// Somebody who is away or left names colleagues; none of those is their own new address.
#[test]
fn a_colleague_is_no_new_address() {
    for words in [
        "I am away until 4 January 2027. In urgent cases write to bob@example.org.",
        "I no longer work for Example. Please use the following address: office@example.org",
        "Alice has left the company; her successor's new address is bob@example.org.",
        "Ich bin nicht mehr bei Example. Bitte verwenden Sie ab sofort bob@example.org.",
        "Je ne fais plus partie de la société. Nouvelle adresse de contact : bob@example.org",
        "I am on leave, please direct all messages to bob@example.org.",
    ] {
        assert_eq!(status("Automatic reply: News", "Auto-Submitted: auto-replied\n", words), Status::AutoReply, "{words}");
    }
}

/// Requests are known all the same, also above a footer.
#[test]
fn requests_above_a_footer_count() {
    for footer in FOOTERS.iter().take(6) {
        for ask in ["Please remove me from your list.", "Bitte nehmen Sie mich aus dem Verteiler.", "Merci de me désinscrire."] {
            assert_eq!(status("Re: News", "", &format!("{ask}\n\n{footer}")), Status::UnsubscribeRequest, "{ask}\n\n{footer}");
        }
    }
    assert_eq!(Status::UnsubscribeRequest.fault(), Fault::Person);
}

/// A mail system's notice: its words are the cause, and what it repeats of the original's are not.
fn notice(subject: &str, text: &str) -> Vec<(Option<String>, Status)> {
    let mail = format!(
        "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example.org\nTo: news@returns.example.com\nSubject: {subject}\nContent-Type: text/plain; charset=utf-8\n\n{text}\n"
    );
    let told = tell(&message::read(mail.replace('\n', "\r\n").as_bytes()), &Envelope::default()).verdicts;
    told.into_iter().map(|one| (one.address, one.status)).collect()
}

#[test]
fn a_subject_that_is_repeated_tells_no_cause() {
    let text = "Your message could not be delivered to bob@example.org.";
    for subject in [
        "Undeliverable: Is your mailbox full?",
        "Undelivered mail: user unknown, and what to do",
        "Delivery failed: No such user",
        "Is your mailbox full?",
    ] {
        assert_eq!(notice(subject, text), [(Some("bob@example.org".to_owned()), Status::GeneralBounce)], "{subject}");
    }
    assert_eq!(notice("Returned mail: User unknown", text)[0].1, Status::HardBounce);
}

#[test]
fn who_got_the_mail_is_told_by_a_word_alone() {
    let told = notice(
        "Delivery report",
        "ann@example.org   User unknown\nbob@example.org   delivered late, then lost\ncee@example.org   Delivered.\n",
    );
    let statuses: Vec<Status> = told.into_iter().map(|(_, status)| status).collect();
    assert_eq!(statuses, [Status::HardBounce, Status::GeneralBounce, Status::Delivered]);
}

#[test]
fn mail_that_comes_in_is_also_what_bounces_speak_of() {
    let text = "Your message to bob@example.org could not be delivered: the mailbox is full and accepts no incoming messages.";
    assert_eq!(notice("Undeliverable mail", text), [(Some("bob@example.org".to_owned()), Status::SoftBounceMailboxFull)]);
    let summary = "Your message to bob@example.org could not be delivered: user unknown.\n\n--- Below this line is a copy of the message.\n\nFrom: root@example.com\nTo: bob@example.org\nSubject: Log\n\nPostfix log summaries for Nov 9";
    assert_eq!(notice("Undeliverable mail", summary), [(Some("bob@example.org".to_owned()), Status::HardBounce)]);
}

/// What is missing is room, a server, a right: nobody is gone.
#[test]
fn what_is_missing_is_not_the_recipient() {
    for text in [
        "bob@example.org: Mottagaren har en brevlåda där det inte finns plats.",
        "bob@example.org: Modtageren har en server, som ikke findes i DNS.",
        "bob@example.org: Mottakeren har ikke plass, fordi det ikke finnes mer lagring.",
        "bob@example.org: De mailbox is niet bereikbaar.",
        "bob@example.org: pengguna tidak dapat menerima pesan: kotak surat penuh.",
    ] {
        let told = notice("Mail delivery status", text);
        assert!(told.iter().all(|(_, status)| *status != Status::HardBounce), "{told:?}: {text}");
    }
}

#[test]
fn one_word_asks_only_where_it_comes_first() {
    assert_eq!(status("Re: News", "", "STOP\n\nSent from my telephone"), Status::UnsubscribeRequest);
    for text in ["Thanks!\n\nUnsubscribe", "Stop by at our shop\n\nAlice", "Stop it, this is too funny!\n\nAlice"] {
        assert_eq!(status("Re: News", "", text), Status::Undetermined, "{text}");
    }
}

/// A moderator refuses a post, and also somebody who wants to join.
#[test]
fn who_may_not_join_has_not_bounced() {
    let text = "Your request to the ant@example.org mailing list\n\n    Subscription request\n\nhas been rejected by the list moderator.\n\n    \"This is a private list\"";
    assert_eq!(status("Request to mailing list \"Ant\" rejected", "Precedence: bulk\n", text), Status::Undetermined);
}
