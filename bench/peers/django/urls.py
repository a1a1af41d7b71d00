from authentication.views import LoginView, MeView, RegistrationView
from django.urls import path

urlpatterns = [
    path("registration", RegistrationView.as_view()),
    path("login", LoginView.as_view()),
    path("me", MeView.as_view()),
]
