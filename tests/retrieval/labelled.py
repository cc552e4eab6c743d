"""A small company's documents, and questions with the passages that answer them.

All of it is made up. `TEXT` questions use the documents' words, `MEANING` questions other ones: inflections,
compounds, misspellings and related words, which a stemmer for English does not bring together.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Labelled:
    """A question and the passages that answer it: `document › innermost heading`.

    A follow-up comes after the `earlier` questions of its conversation, the first one first.
    """

    question: str
    answers: frozenset[str]
    earlier: tuple[str, ...] = ()


DOCUMENTS = {
    "about.md": """# About Falkenau Cycles

Falkenau Cycles builds touring bicycles and cargo bikes by hand in a former tram depot on the river.

## History

Ilse Brandt and her brother founded the workshop in 1987 with one lathe and a borrowed welding torch.

## Workshop visits

Visitors may watch the welders on the first Saturday of each month, between ten and noon. Children need closed shoes.
""",
    "warranty.md": """# Warranty

## Frames

Steel frames carry a warranty of ten years against breakage. The warranty follows the frame to a second owner.

## Wear parts

Chains, brake pads and tyres wear out with use; they are covered for six months only.

## How to claim

Send a photograph of the damage and the frame number to the service desk. Do not post the bicycle before we answer.
""",
    "returns.md": """# Returns

## Deadline

A new bicycle can be returned within thirty days if it was ridden less than fifty kilometres.

## Refund

The money goes back to the card that paid, usually within a week after the bicycle has arrived.

## Shipping costs

We pay the carrier if the fault is ours. Otherwise a return costs 49 euros.
""",
    "cargo-bike.md": """# The Lastesel cargo bike

## Payload

The Lastesel carries 180 kilograms, rider included. The front box takes at most 80 of them.

## Battery

Its 630 Wh battery lasts for about 70 kilometres on flat roads and charges in four hours.

## Colours

It comes in slate grey, moss green and signal orange.
""",
    "touring-bike.md": """# The Zugvogel touring bike

## Gears

A hub with fourteen gears, greased for life, drives a toothed belt instead of a chain.

## Sizes

Five frame sizes fit riders from 155 to 203 centimetres. Measure your inseam without shoes.

## Luggage

Both racks together hold four panniers and 35 kilograms.
""",
    "maintenance.md": """# Maintenance

## Belt tension

Check the tension of the belt every 3,000 kilometres with the FK-20 gauge. It shall read between 45 and 60.

## Brakes

Bleed the hydraulic brakes once a year with mineral oil. Never use DOT fluid: it destroys the seals.

## Winter

Wash road salt off after every ride, and store the battery half full at room temperature.
""",
    "error-codes.md": """# Error codes of the display

## E07

E07 means that the speed sensor sees no magnet. Turn the magnet on the spoke towards the sensor.

## E21

E21 stands for a battery that is too hot. Let it cool down in the shade before you ride on.

## battery_not_recognised

The app shows `battery_not_recognised` when the contacts are dirty. Clean them with a dry cloth.
""",
    "app.md": """# The Falkenau app

## Pairing

Hold the power button for five seconds until the light blinks blue, then choose the bike in the app.

## Theft alarm

With the alarm armed, the bike howls when it is moved and sends its position to your telephone.

## Privacy

Rides stay on your telephone. Nothing is uploaded unless you share a tour by yourself.
""",
    "shipping.md": """# Shipping

## Delivery times

Bikes from stock leave us within three days; made to order, they take eight weeks.

## Countries

We ship to the European Union, Norway and Switzerland. Duties are the buyer's.

## Packaging

The bicycle comes in a reusable crate. The driver takes the empty crate back for free.
""",
    "payment.md": """# Payment

## Methods

We take cards, bank transfer and leasing through an employer. Cash is welcome in the workshop.

## Instalments

Orders above 1,000 euros can be paid in twelve instalments without interest.

## Invoices

Invoices are sent as PDF. Companies add their VAT number before they pay.
""",
    "jobs.md": """# Working with us

## Welder

We look for a welder with TIG experience, four days a week, no shift work.

## Apprentices

Two apprentices begin every September. No grades are asked for, only a day on trial.

## Holidays

Everybody has thirty days off a year, and the workshop closes between Christmas and New Year.
""",
    "portfolio-tram.md": """# Project: tram timetable engine

## What it does

The engine computes connections for the trams of a city with 600 stops in two milliseconds.

## Technology

Written in Rust and C++, with PostgreSQL for the timetables and Redis for the live positions.

## Result

Waiting times at the three main interchanges fell by eleven percent.
""",
    "portfolio-clinic.md": """# Project: appointment book of a clinic

## What it does

Patients move their appointments themselves; the reception sees who did not come.

## Technology

A Python service with Flask and SQLAlchemy, its pages in TypeScript.

## My role

I led four developers, wrote the scheduler and answered for its data protection.
""",
    "portfolio-sensors.md": """# Project: soil sensors for vineyards

## What it does

Three hundred sensors report how damp the soil is, and the pumps water only where it is dry.

## Technology

Firmware in C for an ARM chip, MQTT to a Kafka cluster, dashboards in Grafana.

## Lessons

Radio fails in wet leaves: we put the antennas a metre higher in the second year.
""",
    "skills.md": """# Skills

## Languages

Python and SQL daily since 2012, Rust for four years, some C# and Go.

## Operations

Kubernetes, Terraform and Ansible; on call for a shop with two million orders a year.

## Teaching

A course on testing for thirty students each winter term.
""",
    "kuendigung.md": """# Wartungsvertrag

## Kündigung

Der Vertrag endet mit einer Frist von drei Monaten zum Jahresende. Die Kündigung braucht die Schriftform.

## Preise

Die jährliche Durchsicht kostet 89 Euro, für Lastenräder 119 Euro.

## Leistungen

Enthalten sind Reinigung, Schmierung und die Prüfung aller Schrauben.
""",
    "werkstatt.md": """# Werkstatt

## Öffnungszeiten

Montag bis Freitag von acht bis siebzehn Uhr, samstags bis zwölf. An Feiertagen ist geschlossen.

## Leihfahrrad

Während einer Reparatur bekommen Sie kostenlos ein Leihfahrrad, solange eines da ist.
""",
    "garantie.md": """# Garantie en France

## Durée

Le cadre est garanti dix ans, les pièces d'usure six mois.

## Démarche

Envoyez une photo du dommage au service après-vente avant toute expédition du vélo.
""",
    "livraison.md": """# Livraison

## Délais

Un vélo en stock part sous trois jours ouvrés ; sur commande, comptez huit semaines.

## Emballage

La caisse est réutilisable : le chauffeur la reprend gratuitement.
""",
    "tienda.md": """# Tienda de Madrid

## Horario

Abrimos de martes a sábado, de diez a dos y de cinco a ocho.

## Alquiler

Alquilamos bicicletas de carga por días; el seguro está incluido en el precio.
""",
    "vozvrat.md": """# Возврат

## Срок

Новый велосипед можно вернуть в течение тридцати дней, если пробег меньше пятидесяти километров.

## Деньги

Деньги возвращаются на карту покупателя примерно через неделю.
""",
    "dostavka.md": """# Доставка

## Сроки доставки

Велосипед со склада отправляем за три дня, под заказ собираем восемь недель.

## Упаковка

Ящик многоразовый, водитель забирает его бесплатно.
""",
    "zh-baoxiu.md": """# 保修

## 车架

钢制车架保修十年，转让给第二位车主后仍然有效。

## 易损件

链条、刹车片和轮胎只保修六个月。
""",
    "zh-tuihuo.md": """# 退货

## 期限

新车在三十天内可以退货，骑行里程不得超过五十公里。

## 退款

退款通常在收到自行车后一周内退回原支付卡。
""",
    "ja-battery.md": """# バッテリー

## 充電

充電時間は約四時間です。平坦な道では七十キロメートル走れます。

## 保管

冬は室温で、半分充電した状態で保管してください。
""",
    "ar-daman.md": """# الضمان

## الإطار

إطار الدراجة مضمون لمدة عشر سنوات ضد الكسر.

## الإرجاع

يمكن إرجاع الدراجة الجديدة خلال ثلاثين يوماً.
""",
    "ko-baesong.md": """# 배송

## 배송 기간

재고가 있는 자전거는 사흘 안에 출고되고 주문 제작은 여덟 주가 걸립니다.

## 포장

상자는 재사용할 수 있으며 기사가 무료로 회수합니다.
""",
    "th-rap-prakan.md": """# การรับประกัน

## เฟรม

เฟรมเหล็กรับประกันสิบปี

## แบตเตอรี่

แบตเตอรี่ชาร์จเต็มในสี่ชั่วโมง
""",
}


def _asks(question: str, *answers: str) -> Labelled:
    return Labelled(question, frozenset(answers))


TEXT = [
    _asks("How long is the warranty on a frame?", "warranty.md › Frames"),
    _asks("Are brake pads covered by the warranty?", "warranty.md › Wear parts"),
    _asks("Until when can I return a bicycle?", "returns.md › Deadline"),
    _asks("How much does a return cost?", "returns.md › Shipping costs"),
    _asks("What payload does the cargo bike carry?", "cargo-bike.md › Payload"),
    _asks("How long does the battery of the Lastesel last?", "cargo-bike.md › Battery"),
    _asks("How many gears does the Zugvogel have?", "touring-bike.md › Gears"),
    _asks("What does E07 mean?", "error-codes.md › E07"),
    _asks("the app says battery_not_recognised", "error-codes.md › battery_not_recognised"),
    _asks("Which gauge checks the belt tension, is it the FK-20?", "maintenance.md › Belt tension"),
    _asks("Can I use DOT fluid in the brakes?", "maintenance.md › Brakes"),
    _asks("How do I pair the bike with the app?", "app.md › Pairing"),
    _asks("Do you ship to Norway?", "shipping.md › Countries"),
    _asks("Can I pay in instalments?", "payment.md › Instalments"),
    _asks("Which project used Kafka?", "portfolio-sensors.md › Technology"),
    _asks("Where did you use C++?", "portfolio-tram.md › Technology"),
    _asks("Do you know C#?", "skills.md › Languages"),
    _asks("What was your role at the clinic?", "portfolio-clinic.md › My role"),
    _asks("Welche Frist hat die Kündigung?", "kuendigung.md › Kündigung"),
    _asks("Was kostet die jährliche Durchsicht?", "kuendigung.md › Preise"),
    _asks("Quelle est la durée de la garantie du cadre ?", "garantie.md › Durée"),
    _asks("¿Cuál es el horario de la tienda de Madrid?", "tienda.md › Horario"),
    _asks("Когда деньги вернутся на карту?", "vozvrat.md › Деньги"),
    _asks("车架保修多少年？", "zh-baoxiu.md › 车架"),
    _asks("退款需要多久？", "zh-tuihuo.md › 退款"),
    _asks("充電時間はどのくらいですか？", "ja-battery.md › 充電"),
    _asks("كم مدة ضمان الإطار؟", "ar-daman.md › الإطار"),
    _asks("배송 기간은 얼마나 걸립니까?", "ko-baesong.md › 배송 기간"),
    _asks("เฟรมรับประกันกี่ปี", "th-rap-prakan.md › เฟรม"),
]

MEANING = [
    _asks("Garantieleistung bei Rahmenbruch am Stahlrahmen", "garantie.md › Durée", "warranty.md › Frames"),
    _asks("Welche Kündigungsfristen gelten für Wartungsverträge?", "kuendigung.md › Kündigung"),
    _asks("Bekomme ich ein Leihrad, wenn mein Rad repariert wird?", "werkstatt.md › Leihfahrrad"),
    _asks("An welchen Wochentagen öffnet ihr morgens die Werkstätten?", "werkstatt.md › Öffnungszeiten"),
    _asks("expéditions et délai des vélos stockés", "livraison.md › Délais"),
    _asks("alquilar una bici para cargar cosas, ¿está asegurada?", "tienda.md › Alquiler"),
    _asks("отправка велосипедов со складов", "dostavka.md › Сроки доставки"),
    _asks("многоразовые ящики для упаковывания", "dostavka.md › Упаковка"),
    _asks("photografs of damages for claiming", "warranty.md › How to claim"),
    _asks("timetabling of tramways", "portfolio-tram.md › What it does", "portfolio-tram.md › Technology"),
    _asks("sensory measurement of soils in a vinyard", "portfolio-sensors.md › What it does"),
    _asks("theftproof alarming system", "app.md › Theft alarm"),
]

QUESTIONS = TEXT + MEANING


def _goes_on(*earlier: str, then: str, to: str) -> Labelled:
    return Labelled(then, frozenset([to]), earlier)


FOLLOW_UPS = [
    _goes_on("How long is the warranty on a frame?", then="Why is it so long?", to="warranty.md › Frames"),
    _goes_on("How much does a return cost?", then="And how much in dollars?", to="returns.md › Shipping costs"),
    _goes_on("Which colours does the Lastesel come in?", then="Any in yellow?", to="cargo-bike.md › Colours"),
    _goes_on("Tell me about the Lastesel.", then="How far does it go on a charge?", to="cargo-bike.md › Battery"),
    _goes_on("What payload does the Lastesel carry?", then="And the battery?", to="cargo-bike.md › Battery"),
    _goes_on("How many gears does the Zugvogel have?", then="And how much luggage?", to="touring-bike.md › Luggage"),
    _goes_on("What does E07 mean?", then="How do I repair that myself?", to="error-codes.md › E07"),
    _goes_on("Until when can I return a bicycle?", then="When do I get a refund?", to="returns.md › Refund"),
    _goes_on("Can I pay in instalments?", then="From which price on?", to="payment.md › Instalments"),
    _goes_on("Can I use DOT fluid in the brakes?", then="Why not?", to="maintenance.md › Brakes"),
    _goes_on("What was your role at the clinic?", then="Which technology?", to="portfolio-clinic.md › Technology"),
    _goes_on("What does the tram timetable engine do?", then="With what result?", to="portfolio-tram.md › Result"),
    _goes_on("Was kostet die jährliche Durchsicht?", then="Und für Lastenräder?", to="kuendigung.md › Preise"),
    _goes_on("Quelle est la durée de la garantie du cadre ?", then="Et pourquoi ?", to="garantie.md › Durée"),
    _goes_on("车架保修多少年？", then="为什么？", to="zh-baoxiu.md › 车架"),
    _goes_on("Tell me about the Lastesel.", "Which colours?", then="How heavy can I be?", to="cargo-bike.md › Payload"),
    _goes_on(
        "How much does a return cost?", "In dollars?", then="Please summarise it.", to="returns.md › Shipping costs"
    ),
    _goes_on("What does E21 mean?", "Thanks!", then="Is it dangerous?", to="error-codes.md › E21"),
]
"""Questions that say too little by themselves, or less than they mean."""

CHANGES = [
    _goes_on(before.question, then=after.question, to=next(iter(after.answers)))
    for before, after in zip(TEXT, [*TEXT[7:], *TEXT[:7]], strict=True)
]
"""Questions about something else than the one before."""

OFF_TOPIC = [
    "Who wrote the Odyssey?",
    "What is the boiling point of mercury?",
    "Kannst du mir ein Gedicht schreiben?",
    "今天天气怎么样？",
]
